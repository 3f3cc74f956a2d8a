// A loader of Astro: every picture of a Picturedesk catalogue is an entry of a content collection.
//
// It reads the view `pictures` a page at a time, newest first, each from where the last one ended. What has not changed
// since the last build keeps its digest, so Astro renders it no second time.

const ORDER = "posted_at.desc,channel_id.desc,message_id.desc"
const PAGE = 500

/** `project` is its URL, `key` its publishable key, `most` how many pictures are wanted. */
export function pictures({ project, key, most = Infinity }) {
  return {
    name: "picturedesk",
    async load({ store, generateDigest, logger }) {
      const seen = new Set()
      for await (const row of newestFirst(project, key, most)) {
        const id = `${row.channel_id}-${row.message_id}`
        store.set({ id, data: row, digest: generateDigest(row) })
        seen.add(id)
      }
      for (const id of store.keys()) if (!seen.has(id)) store.delete(id)
      logger.info(`${seen.size} pictures`)
    },
  }
}

async function* newestFirst(project, key, most) {
  let before = ""
  for (let count = 0; count < most; ) {
    const url = `${project}/rest/v1/pictures?order=${ORDER}&limit=${Math.min(PAGE, most - count)}${before}`
    const answer = await fetch(url, { headers: { apikey: key } })
    if (!answer.ok) throw new Error(`${new URL(url).host}: ${answer.status} ${await answer.text()}`)
    const rows = await answer.json()
    yield* rows
    if (rows.length < PAGE) return
    count += rows.length
    before = `&${beyond(rows.at(-1))}`
  }
}

/** The filter for what comes after this row in that order. The first part is one that an index can be used for. */
function beyond({ posted_at, channel_id, message_id }) {
  const at = encodeURIComponent(posted_at)
  const older = `posted_at.lt."${at}"`
  const besides = `or(channel_id.lt.${channel_id},and(channel_id.eq.${channel_id},message_id.lt.${message_id}))`
  return `posted_at=lte.${at}&or=(${older},and(posted_at.eq."${at}",${besides}))`
}
