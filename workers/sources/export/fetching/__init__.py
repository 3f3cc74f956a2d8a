"""An export's pictures: found in its folder, and copied into the spool."""
