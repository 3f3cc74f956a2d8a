"""What an AVIF says of the picture that is shown: the properties of its item, or of its film's first track."""

from __future__ import annotations

from workers.rendering.imaging.containers.avif import boxes, items, tracks

Property = tuple[bytes, bytes]
"""Kind and content."""


def shown(data: bytes) -> list[Property]:
    """The properties of what is shown: libavif shows the film, unless the first brand says that it is a picture."""
    picture_first = data[8:12] == b"avif"
    ways = (of_picture, of_film) if picture_first else (of_film, of_picture)
    return ways[0](data) or ways[1](data)


def of_picture(data: bytes) -> list[Property]:
    """The properties of the primary item, in its order."""
    for start, end in boxes.within(data, 0, len(data), b"meta"):
        wanted = items.primary(data, start + 4, end)
        for inner, stop in boxes.within(data, start + 4, end, b"iprp"):
            found = [
                (kind, data[one:limit])
                for first, last in boxes.within(data, inner, stop, b"ipco")
                for kind, one, limit in boxes.all_within(data, first, last)
            ]
            for first, last in boxes.within(data, inner, stop, b"ipma"):
                own = boxes.associations(data, first, last).get(wanted, [])
                if own:
                    return [found[index - 1] for index, _ in own if 0 < index <= len(found)]
    return []


def of_film(data: bytes) -> list[Property]:
    """The properties of the first track."""
    for track in tracks.film_tracks(data):
        spans = tracks.description(data, track.description)
        return [(kind, data[one:limit]) for span in spans[:1] for kind, one, limit in boxes.all_within(data, *span)]
    return []


def first_bytes(data: bytes, most: int) -> bytes:
    """The first bytes, at most `most`, of the AV1 stream of what is shown."""
    ways = (items.first_bytes, tracks.first_bytes)
    one, other = ways if data[8:12] == b"avif" else ways[::-1]
    return one(data, most) or other(data, most)
