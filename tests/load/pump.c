/* pump: the least that calls can cost, to compare a server with.
 *
 * For each of COUNT calls one UDP socket; every 20 ms one bare recvfrom and one bare sendto of an RTP packet (172 bytes) to
 * 127.0.0.1:BASE+STEP*i, where rtp_peer listens and answers. No SIP, no timing beyond a 1 ms grid, nothing read or made.
 * Ends after SECONDS and prints one JSON object: packets, and CPU seconds of this process per call-minute.
 *
 * usage: pump BASE STEP COUNT SECONDS
 * build: cc -O2 -o pump pump.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

static double seconds(struct timeval t) { return t.tv_sec + t.tv_usec / 1e6; }

int main(int argc, char **argv) {
	if (argc < 5) { fprintf(stderr, "usage: pump BASE STEP COUNT SECONDS\n"); return 2; }
	int base = atoi(argv[1]), step = atoi(argv[2]), count = atoi(argv[3]); double secs = atof(argv[4]);
	struct rlimit rl; getrlimit(RLIMIT_NOFILE, &rl); rl.rlim_cur = rl.rlim_max; setrlimit(RLIMIT_NOFILE, &rl);
	int *fds = calloc(count, sizeof *fds); struct sockaddr_in *to = calloc(count, sizeof *to);
	for (int i = 0; i < count; i++) {
		if ((fds[i] = socket(AF_INET, SOCK_DGRAM, 0)) < 0) { perror("socket"); return 2; }
		to[i] = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(base + step * i), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	}
	uint8_t out[172], in[2048]; memset(out, 0xff, sizeof out); out[0] = 0x80; out[1] = 0;
	uint64_t sent = 0, received = 0, ticks = (uint64_t)(secs * 1000);
	struct rusage before, after; getrusage(RUSAGE_SELF, &before);
	struct timespec due; clock_gettime(CLOCK_MONOTONIC, &due);
	for (uint64_t tick = 0; tick < ticks; tick++) {
		if ((due.tv_nsec += 1000000) >= 1000000000) { due.tv_nsec -= 1000000000; due.tv_sec++; }
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, 0);
		uint16_t seq = tick / 20; uint32_t ts = htonl(seq * 160); out[2] = seq >> 8; out[3] = seq; memcpy(out + 4, &ts, 4);
		for (int i = tick % 20; i < count; i += 20) {
			struct sockaddr_in from; socklen_t len = sizeof from; uint32_t ssrc = htonl(i + 1); memcpy(out + 8, &ssrc, 4);
			received += recvfrom(fds[i], in, sizeof in, MSG_DONTWAIT, (void *)&from, &len) > 0;
			sent += sendto(fds[i], out, sizeof out, MSG_DONTWAIT, (void *)&to[i], sizeof to[i]) > 0;
		}
	}
	getrusage(RUSAGE_SELF, &after);
	double cpu = seconds(after.ru_utime) - seconds(before.ru_utime) + seconds(after.ru_stime) - seconds(before.ru_stime);
	printf("{\"mode\":\"pump\",\"n\":%d,\"sent\":%llu,\"received\":%llu,\"cpu_s\":%.2f,\"cpu_s_per_call_minute\":%.4f}\n", count,
		(unsigned long long)sent, (unsigned long long)received, cpu, cpu / (count * secs / 60));
	return 0;
}
