"""What is said of a picture besides its renditions, and which part of it a link card shows: over plain numbers. Pure.

    thumbhash   a blurred picture in some 25 bytes
    phash       64 bits that near-duplicates share
    crop        the part of a picture that matters most
    cosines     the transform that both hashes are made of

`codec.pixels.appearance` and `codec.pixels.preview` do it to pictures.
"""
