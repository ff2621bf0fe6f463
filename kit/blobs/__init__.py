"""The blob store: recordings and artifacts by key, whole or not at all, durable once written.

BlobStore ◀── DirectoryStore   local_fs, shared_fs: a directory, synced before and after the rename
          ◀── BucketStore      s3: a bucket of any S3 server, long blobs in parts
"""

from kit.blobs.bucket import Bucket
from kit.blobs.opening import open_blobs, open_storage
from kit.blobs.store import BlobHealth, BlobInfo, BlobNotFound, BlobReader, BlobStore, BlobsUnavailable

__all__ = [
    "BlobHealth",
    "BlobInfo",
    "BlobNotFound",
    "BlobReader",
    "BlobStore",
    "BlobsUnavailable",
    "Bucket",
    "open_blobs",
    "open_storage",
]
