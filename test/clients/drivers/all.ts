import { buildah } from "./buildah.ts";
import type { Client } from "./client.ts";
import { containerd } from "./containerd.ts";
import { crane, gcrane } from "./crane.ts";
import { docker } from "./docker.ts";
import { podman } from "./podman.ts";
import { skopeo } from "./skopeo.ts";
import { umoci } from "./umoci.ts";

/** Every client that the project promises to work with. */
export const allClients: readonly Client[] = [docker, containerd, podman, buildah, skopeo, crane, gcrane, umoci];
