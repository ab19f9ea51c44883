"""Descriptions of settings that several commands have."""

LOG_LEVEL = (
    "what to tell on stderr: error, warning (as --quiet), info (progress, too) or debug (the "
    "libraries' logs, too); default of a command: info"
)

CACHE = "; default: nextfill in XDG_CACHE_HOME, or in ~/.cache"

CACHE_LIMIT = (
    "the most that the cache may hold, such as 20GB: what was unused for longest is removed, and "
    "made again when needed; default: NEXTFILL_CACHE_LIMIT, or a quarter of its disk"
)

STORE = (
    "where tokens are kept for many machines, an address (s3://, gs://) or a shared folder: found "
    "there, or put there, and copied to the cache shard by shard, as far as it has room; text that "
    "comes by --streaming is not kept there"
)
