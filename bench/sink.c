/*
 * Pulls one path over plain HTTP on several connections for some seconds and throws the bodies away where they
 * arrive: MSG_TRUNC drops them in the kernel, so that the puller takes next to nothing of the machine that it shares
 * with the server. Prints bytes a second.
 *
 *     sink PORT CONNECTIONS SECONDS REQUEST-FILE BODY-BYTES
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 64, HEADER_LIMIT = 16384, AT_ONCE = 1 << 22 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  int count = atoi(argv[2]);
  double seconds = atof(argv[3]);
  long long size = atoll(argv[5]);
  static char request[HEADER_LIMIT];
  FILE *file = fopen(argv[4], "r");
  if (file == NULL || count < 1 || count > MAX_CONNECTIONS) return 2;
  size_t length = fread(request, 1, sizeof request, file);
  struct pollfd polls[MAX_CONNECTIONS];
  long long left[MAX_CONNECTIONS];
  for (int i = 0; i < count; i++) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    polls[i].fd = socket(AF_INET, SOCK_STREAM, 0);
    polls[i].events = POLLIN;
    if (connect(polls[i].fd, (struct sockaddr *)&to, sizeof to) != 0) fail("connect");
    if (write(polls[i].fd, request, length) != (ssize_t)length) fail("write");
    left[i] = -1;
  }
  long long total = 0;
  double begun = now(), end = begun + seconds;
  while (now() < end) {
    if (poll(polls, count, 1000) < 0) fail("poll");
    for (int i = 0; i < count; i++) {
      if ((polls[i].revents & (POLLIN | POLLHUP)) == 0) continue;
      int fd = polls[i].fd;
      if (left[i] < 0) {
        /* The header: looked at, and taken once it is whole. */
        static char header[HEADER_LIMIT];
        ssize_t seen = recv(fd, header, sizeof header - 1, MSG_PEEK | MSG_DONTWAIT);
        if (seen <= 0) fail("recv header");
        header[seen] = 0;
        char *body = strstr(header, "\r\n\r\n");
        if (body == NULL) continue;
        if (strncmp(header, "HTTP/1.1 200", 12) != 0) {
          fprintf(stderr, "%.200s\n", header);
          return 1;
        }
        if (recv(fd, header, body + 4 - header, 0) < 0) fail("recv");
        left[i] = size;
      }
      while (left[i] > 0) {
        ssize_t got = recv(fd, NULL, left[i] < AT_ONCE ? (size_t)left[i] : AT_ONCE, MSG_TRUNC | MSG_DONTWAIT);
        if (got == 0) {
          fprintf(stderr, "the body ended early\n");
          return 1;
        }
        if (got < 0) break;
        left[i] -= got;
        total += got;
      }
      if (left[i] == 0) {
        left[i] = -1;
        if (write(fd, request, length) != (ssize_t)length) fail("write");
      }
    }
  }
  printf("%.0f\n", total / (now() - begun));
  return 0;
}
