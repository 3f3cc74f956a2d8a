import Image from "next/image"

const ORDER = "posted_at.desc,channel_id.desc,message_id.desc"

async function newest(count) {
  const url = `${process.env.SUPABASE_URL}/rest/v1/pictures?order=${ORDER}&limit=${count}`
  const answer = await fetch(url, { headers: { apikey: process.env.SUPABASE_PUBLISHABLE_KEY } })
  if (!answer.ok) throw new Error(`${new URL(url).host}: ${answer.status} ${await answer.text()}`)
  return answer.json()
}

const grid = { display: "grid", gridTemplateColumns: "repeat(auto-fill, minmax(min(20rem, 100%), 1fr))", gap: "1rem" }

export default async function Page() {
  const rows = await newest(30)
  return (
    <main style={grid}>
      <style>{".spoiler:not(:hover) { filter: blur(.3em) }"}</style>
      <h1 style={{ gridColumn: "1 / -1" }}>Pictures</h1>
      {rows.map((row) => (
        <figure key={`${row.channel_id}-${row.message_id}`} style={{ margin: 0 }}>
          <a href={row.post_url}>
            <Image
              src={row.srcset_avif ?? row.srcset_webp ?? `${row.src} ${row.width}w`}
              width={row.width}
              height={row.height}
              alt={row.alt ?? ""}
              sizes="(min-width: 42rem) 21rem, 100vw"
              style={{ width: "100%", height: "auto", background: row.color }}
            />
          </a>
          <figcaption dangerouslySetInnerHTML={{ __html: row.caption_html }} />
        </figure>
      ))}
    </main>
  )
}
