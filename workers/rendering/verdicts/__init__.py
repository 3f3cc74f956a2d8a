"""What an image worker's answer, or its death, means for its job: checked, judged, and entered into the journal."""
