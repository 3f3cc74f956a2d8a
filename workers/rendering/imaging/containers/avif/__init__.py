"""AVIF: what its boxes say, and what is mended of them. Pure, and with the bounds of `containers.parts`.

mending          which parts are broken and not needed
cut              a file whose end is missing: the frames that are whole
aperture         which part of a picture is shown (clap)
properties       what is said of the picture that is shown
sequence_header  what the AV1 stream itself says of its colours
sequences        how often frames are played, and when the file was made
items  tracks    where the bytes of a picture, and of the frames of a film, are in the file
boxes            of what all of them are made
"""
