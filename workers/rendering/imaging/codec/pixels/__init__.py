"""A picture's pixels, once it is decoded: its colours, what can be seen through, what it looks like, its preview."""
