"""What stores call the identity and the times of an object, in what they tell of it without reading it."""

from __future__ import annotations

# Of S3, Google, Azure, web servers and fsspec's own file systems. Their order is part of keys in the cache.
TAGS = ("ETag", "etag", "generation")
SURE = (*TAGS, "VersionId", "md5Hash", "content_md5")
TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
