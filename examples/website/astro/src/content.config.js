import { defineCollection } from "astro:content"
import { pictures } from "./pictures.js"

const project = import.meta.env.SUPABASE_URL
const key = import.meta.env.SUPABASE_PUBLISHABLE_KEY

export const collections = { pictures: defineCollection({ loader: pictures({ project, key, most: 5000 }) }) }
