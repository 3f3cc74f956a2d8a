// A loader of next/image. Its `src` is a srcset of the view `pictures`: the pictures are made already, so the loader
// chooses the narrowest that is wide enough, and Next renders none.

export default function pictureLoader({ src, width }) {
  const candidates = src.split(", ").map((candidate) => candidate.split(" "))
  const [url] = candidates.find(([, has]) => parseInt(has) >= width) ?? candidates.at(-1)
  return url
}
