"""How the uploader's work goes round: beside the stages, with connections of its own, and whether it does."""
