"""The hosted catalogue: a Supabase project whose database has deploy/schema.sql.

`catalog` keeps the promises of `..protocol`, `schema_check` says what keeps a project from taking rows, over
`schema_version`. `queues` are those of many machines (deploy/machines.sql), `queues_check` says what keeps them from
working. `project` is the home of supabase-py, `answers` says what an answer means.
"""

from __future__ import annotations

from workers.publishing.catalog.supabase.catalog import SupabaseCatalog
from workers.publishing.catalog.supabase.project import timeout_in
from workers.publishing.catalog.supabase.queues_check import check as check_queues
from workers.publishing.catalog.supabase.schema_check import check

__all__ = ["SupabaseCatalog", "check", "check_queues", "timeout_in"]
