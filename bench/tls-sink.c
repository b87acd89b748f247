/*
 * Pulls one path over HTTPS on several connections for some seconds, and decrypts no more than the replies' headers: it
 * steps over the records of the bodies by their lengths, which stand in the open, and drops them in the kernel
 * (MSG_TRUNC). A client that decrypts takes the core that the server would need, and is what is measured then. Each reply
 * has a connection of its own. Prints bytes of content a second.
 *
 *     tls-sink PORT CONNECTIONS SECONDS REQUEST-FILE BODY-BYTES
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 64, HEADER_LIMIT = 16384, RECORD_HEADER = 5, APPLICATION_DATA = 23, TLS13_OVERHEAD = 17 };

static SSL_CTX *context;
static int port;
static long long size;
static double end;
static char request[HEADER_LIMIT];
static size_t request_length;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

/* Sends the request and reads as far as the header's end; the bytes of the body that came with it. */
static long long begin(SSL *ssl) {
  char header[HEADER_LIMIT];
  size_t length = 0;
  if (SSL_connect(ssl) != 1) fail("SSL_connect");
  if (SSL_write(ssl, request, request_length) != (int)request_length) fail("SSL_write");
  for (;;) {
    int got = SSL_read(ssl, header + length, sizeof header - 1 - length);
    if (got <= 0) fail("SSL_read");
    length += got;
    header[length] = 0;
    char *body = strstr(header, "\r\n\r\n");
    if (body == NULL) continue;
    if (strncmp(header, "HTTP/1.1 200", 12) != 0) {
      fprintf(stderr, "%.200s\n", header);
      exit(1);
    }
    return length - (body + 4 - header) + SSL_pending(ssl);
  }
}

static void drop(int fd, size_t length) {
  while (length > 0) {
    ssize_t got = recv(fd, NULL, length, MSG_TRUNC | MSG_WAITALL);
    if (got <= 0) fail("recv body");
    length -= got;
  }
}

static void *pull(void *total) {
  while (now() < end) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) fail("connect");
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    long long seen = begin(ssl);
    while (seen < size && now() < end) {
      unsigned char head[RECORD_HEADER];
      if (recv(fd, head, sizeof head, MSG_WAITALL) != sizeof head) fail("recv record");
      size_t length = head[3] << 8 | head[4];
      drop(fd, length);
      if (head[0] == APPLICATION_DATA) seen += length - TLS13_OVERHEAD;
    }
    *(long long *)total += seen;
    SSL_free(ssl);
    close(fd);
  }
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  int count = atoi(argv[2]);
  double seconds = atof(argv[3]);
  port = atoi(argv[1]);
  size = atoll(argv[5]);
  FILE *file = fopen(argv[4], "r");
  if (file == NULL || count < 1 || count > MAX_CONNECTIONS) return 2;
  request_length = fread(request, 1, sizeof request, file);
  context = SSL_CTX_new(TLS_client_method());
  /* One version and one cipher for every server: the lengths of records follow from them. */
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
  pthread_t threads[MAX_CONNECTIONS];
  long long totals[MAX_CONNECTIONS] = {0}, total = 0;
  double begun = now();
  end = begun + seconds;
  for (int i = 0; i < count; i++)
    if (pthread_create(&threads[i], NULL, pull, &totals[i]) != 0) fail("pthread_create");
  for (int i = 0; i < count; i++) {
    pthread_join(threads[i], NULL);
    total += totals[i];
  }
  printf("%.0f\n", total / (now() - begun));
  return 0;
}
