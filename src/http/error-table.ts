/** Every error code that the registry protocol answers with; docs/errors.md is made from this table. */
interface ErrorEntry {
  status: number;
  /** Said where the place that throws says nothing more exact. */
  message: string;
  /** For docs/errors.md: when it happens and what to do. */
  doc: string;
}

const entry = (status: number, message: string, doc: string): ErrorEntry => ({ status, message, doc });

export const errorTable = {
  UNAUTHORIZED: entry(
    401,
    "Unauthorized access.",
    "No credentials, wrong ones, or a token that is expired or was made for less than this request needs. The `WWW-Authenticate` header says where to get a token and for which scope; `docker login` does the rest.",
  ),
  DENIED: entry(
    403,
    "Access denied.",
    "The caller is known and may not do this. The message names the missing permission; an owner of the project can grant it.",
  ),
  NAME_INVALID: entry(
    400,
    "The repository name is not valid.",
    "A name is PROJECT/IMAGE, in lower case, its segments of letters, digits and `.`, `_`, `__`, `-` between them, at most 255 characters.",
  ),
  NAME_UNKNOWN: entry(404, "The repository is not known.", "Nothing has been pushed under this name on this host."),
  TAG_INVALID: entry(
    400,
    "The tag is not valid.",
    "A tag is 1 to 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two.",
  ),
  DIGEST_INVALID: entry(
    400,
    "The digest is not valid.",
    "A digest is `sha256:` and 64, or `sha512:` and 128 lower-case hexadecimal digits. On uploads: the bytes that arrived have another digest; send them again.",
  ),
  MANIFEST_UNKNOWN: entry(404, "The manifest is not known.", "No such tag or digest in this repository."),
  MANIFEST_INVALID: entry(
    400,
    "The manifest is not valid.",
    "The message says what is wrong: not JSON, a duplicate key, both layers and manifests, a media type that contradicts Content-Type, a descriptor whose size is not its blob's, Docker schema 1.",
  ),
  MANIFEST_BLOB_UNKNOWN: entry(
    404,
    "A blob that the manifest names is not in the repository.",
    "One error for each missing config or layer. Push or mount the blobs first, then the manifest.",
  ),
  MANIFEST_TOO_LARGE: entry(
    413,
    "The manifest is too large.",
    "A manifest has at most `limits.manifest-size` bytes (4 MiB).",
  ),
  BLOB_UNKNOWN: entry(
    404,
    "The blob is not in the repository.",
    "A blob is readable where it was pushed or mounted, and nowhere else.",
  ),
  BLOB_REFERENCED: entry(
    405,
    "The blob is used by a manifest of this repository.",
    "Delete the manifests that name the blob first. The status is the one that the specification has for a delete that is not allowed.",
  ),
  BLOB_UPLOAD_UNKNOWN: entry(
    404,
    "The upload is not known.",
    "It was finished, cancelled, expired or taken over, or it is another repository's or another caller's. Each reply's Location is good once; `GET` on the last one gives the state.",
  ),
  BLOB_UPLOAD_INVALID: entry(400, "The upload cannot be continued.", "The message says why. Start a new upload."),
  SIZE_INVALID: entry(
    400,
    "The length is not the one announced.",
    "Fewer or more bytes arrived than Content-Length or Content-Range said.",
  ),
  BLOB_TOO_LARGE: entry(413, "The blob is too large.", "An upload has at most `limits.upload-size` bytes (512 GiB)."),
  RANGE_INVALID: entry(
    416,
    "The range cannot be satisfied.",
    "On a read: it begins past the end. On an upload: it does not begin where the last one ended; `GET` on the upload's Location gives the offset.",
  ),
  TAGS_TOO_MANY: entry(414, "Too many tags in one request.", "A push by digest sets at most 100 tags with `?tag=`."),
  PAGINATION_INVALID: entry(400, "The page is not valid.", "`n` is a whole number from 0, `last` an entry's name."),
  GOOGLE_MANIFEST_DANGLING_TAG: entry(
    400,
    "Manifest is still referenced by tag.",
    "Delete the tags first. Under Container Registry's own host names always; under others as `protect-referenced` says.",
  ),
  GOOGLE_MANIFEST_DANGLING_PARENT_IMAGE: entry(
    400,
    "Manifest is referenced by another image.",
    "Delete the list that holds the manifest first; its digest is the last word of the message.",
  ),
  UNSUPPORTED: entry(
    405,
    "The operation is not supported.",
    "The method is not one of this address, or this host takes no pushes.",
  ),
  NOT_FOUND: entry(404, "There is nothing at this address.", "The path is none of the API's."),
  REQUEST_INVALID: entry(400, "The request is not valid.", "The message names the part that is wrong."),
  TOOMANYREQUESTS: entry(
    429,
    "Too many requests.",
    "The message says of what: a caller has at most `limits.open-uploads` uploads open (1,000: finish or cancel some; abandoned ones expire), an address sends at most `limits.requests` requests in ten minutes (50,000), and who fails to sign in again and again has to wait. `Retry-After` says how long.",
  ),
  STORAGE_FULL: entry(507, "The storage is full.", "Nothing of the request was kept. Make room, then send it again."),
  BYTES_MISSING: entry(
    500,
    "Bytes that the registry knows of are not in its storage.",
    "The storage lost a file, or a backup was restored in part. Push the blob again.",
  ),
  UNAVAILABLE: entry(
    503,
    "The registry cannot answer now.",
    "It is stopping, or its database or storage is not reachable; try again.",
  ),
  UNKNOWN: entry(
    500,
    "The registry failed.",
    "A fault in Berth. The log has the details under the reply's X-Request-Id.",
  ),
} satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof errorTable;
