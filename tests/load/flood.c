/* flood: bad SIP messages at a steady rate.
 *
 * Sends the files of DIR, one datagram each, in turn with broken variants of them (cut short, a byte turned over), from
 * 127.0.0.1 (which the trunk of the load test allows) and from 127.0.0.9 (a stranger) alternately. Prints one JSON object.
 *
 * usage: flood PORT RATE SECONDS DIR
 * build: cc -O2 -o flood flood.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static int from(const char *ip) {
	struct sockaddr_in a = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM, 0); inet_pton(AF_INET, ip, &a.sin_addr);
	if (fd < 0 || bind(fd, (void *)&a, sizeof a)) { perror(ip); exit(2); }
	return fd;
}

int main(int argc, char **argv) {
	if (argc < 5) { fprintf(stderr, "usage: flood PORT RATE SECONDS DIR\n"); return 2; }
	int port = atoi(argv[1]); double rate = atof(argv[2]), secs = atof(argv[3]);
	static char text[256][8192]; static size_t len[256]; int files = 0; struct dirent *e; DIR *d = opendir(argv[4]);
	if (!d) { perror(argv[4]); return 2; }
	while ((e = readdir(d)) && files < 256) {
		if (!strstr(e->d_name, ".dat")) continue;
		char path[4096]; snprintf(path, sizeof path, "%s/%s", argv[4], e->d_name);
		FILE *f = fopen(path, "rb"); if (!f) { perror(path); return 2; }
		len[files] = fread(text[files], 1, sizeof text[0], f); fclose(f); files++;
	}
	if (!files) { fprintf(stderr, "no *.dat in %s\n", argv[4]); return 2; }
	int fds[2] = { from("127.0.0.1"), from("127.0.0.9") };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint64_t sent = 0, seed = 1; char message[8192]; struct timespec due; clock_gettime(CLOCK_MONOTONIC, &due);
	for (uint64_t ms = 1; ms <= (uint64_t)(secs * 1000); ms++) {
		if ((due.tv_nsec += 1000000) >= 1000000000) { due.tv_nsec -= 1000000000; due.tv_sec++; }
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, 0);
		for (; sent < (uint64_t)(ms * rate / 1000); sent++) {
			int file = sent / 2 % files; size_t length = len[file]; memcpy(message, text[file], length);
			seed = seed * 6364136223846793005u + 1442695040888963407u; uint32_t r = seed >> 33;
			switch (sent / 2 % 3) { case 1: length = 1 + r % length; break; case 2: message[r % length] ^= 1 << (r >> 24) % 8; break; }
			sendto(fds[sent % 2], message, length, 0, (void *)&to, sizeof to);
			char in[2048]; while (recv(fds[sent % 2], in, sizeof in, MSG_DONTWAIT) > 0) {}
		}
	}
	printf("{\"mode\":\"flood\",\"sent\":%llu,\"seconds\":%.0f}\n", (unsigned long long)sent, secs);
	return 0;
}
