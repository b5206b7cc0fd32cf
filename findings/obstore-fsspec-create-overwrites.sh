#!/bin/sh
# obstore 0.12.1, fsspec 2026.9.0 (Python 3.11)
#
# fsspec's `pipe_file(path, data, mode="create")` writes an object only if there is none; else it raises
# FileExistsError. It is how programs take a lock or a claim in a bucket in one request.
#   fsspec's own memory file system       FileExistsError, the first bytes stay
#   obstore itself, put(mode="create")    AlreadyExistsError, the first bytes stay (not a FileExistsError)
#   obstore.fsspec.FsspecStore            no error: `mode` is ignored, and the first bytes are replaced
# So of two programs that claim the same object through FsspecStore, both believe that they have it.
#
# Output seen:
#   fsspec memory        FileExistsError; the object holds b'first'
#   obstore.put          AlreadyExistsError; the object holds b'first'
#   obstore FsspecStore  no error; the object holds b'second'
#
# Exits with 1 if this changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check obstore==0.12.1 fsspec==2026.9.0
cat > "$folder/show.py" <<'PYTHON'
import asyncio
import os
import sys

import fsspec
import obstore
from obstore.fsspec import FsspecStore
from obstore.store import LocalStore

folder = sys.argv[1]
expected = {
    "fsspec memory": "FileExistsError; the object holds b'first'",
    "obstore.put": "AlreadyExistsError; the object holds b'first'",
    "obstore FsspecStore": "no error; the object holds b'second'",
}


async def said(create, read):
    await create(b"first")
    try:
        await create(b"second")
        error = "no error"
    except Exception as caught:
        error = type(caught).__name__
    return f"{error}; the object holds {bytes(await read())!r}"


async def main():
    memory = fsspec.filesystem("memory")
    local = LocalStore(folder)
    through = FsspecStore("file", asynchronous=True)
    path = f"{folder}/through"

    async def pipe(data):
        memory.pipe_file("/a", data, mode="create")

    async def cat():
        return memory.cat_file("/a")

    async def get():
        return await (await obstore.get_async(local, "put")).bytes_async()

    found = {
        "fsspec memory": await said(pipe, cat),
        "obstore.put": await said(lambda data: obstore.put_async(local, "put", data, mode="create"), get),
        "obstore FsspecStore": await said(
            lambda data: through._pipe_file(path, data, mode="create"), lambda: through._cat_file(path)
        ),
    }
    for name, text in found.items():
        print(f"{name:20} {text}")
    return found


changed = asyncio.run(main()) != expected
sys.stdout.flush()
os._exit(changed)  # at once, without waiting for the threads of the libraries
PYTHON
"$folder/venv/bin/python" "$folder/show.py" "$folder"
