"""The pages of the gallery: posts in, bytes out. Pure."""
