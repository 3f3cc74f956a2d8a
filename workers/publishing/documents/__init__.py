"""Documents beside the pictures, made of the catalogue's rows and written anew when these change.

`follower` collects what has changed until it is quiet, `writer` writes what has become another document. What is made
of a change is the business of a `Documents`.
"""
