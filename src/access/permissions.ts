/** The permissions that the registry asks for, as Cloud Storage names them. */
export type Permission =
  | "storage.buckets.create"
  | "storage.buckets.get"
  | "storage.objects.get"
  | "storage.objects.list"
  | "storage.objects.create"
  | "storage.objects.delete";
