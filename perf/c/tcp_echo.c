/* What loopback TCP costs on this machine at best: a bare echo server for one client, in C.
 *
 *   tcp_echo spin|yield|park CPU
 *
 * Prints the port it listens on, takes one client, and sends back whatever comes, until the client
 * leaves. spin: it asks the socket again and again; yield: it lets others run in between; park: it
 * sleeps in the kernel. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        perror("sched_setaffinity");
}

static int accept_one(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&address, &size))
        return -1;
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    int client = accept(listener, NULL, NULL);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    close(listener);
    return client;
}

static void echo(int client, int polls, int yields)
{
    static char data[1 << 16];
    for (;;) {
        ssize_t size = recv(client, data, sizeof data, polls ? MSG_DONTWAIT : 0);
        if (size > 0) {
            for (ssize_t done = 0; done < size;) {
                ssize_t part = send(client, data + done, size - done, MSG_NOSIGNAL);
                if (part < 0)
                    return;
                done += part;
            }
        } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
            return;
        } else if (yields) {
            sched_yield();
        } else {
            __builtin_ia32_pause();
        }
    }
}

int main(int count, char **argument)
{
    if (count != 3) {
        fprintf(stderr, "usage: tcp_echo spin|yield|park CPU\n");
        return 64;
    }
    prctl(PR_SET_PDEATHSIG, 9);
    pin(atoi(argument[2]));
    int client = accept_one();
    if (client < 0) {
        perror("tcp_echo");
        return 1;
    }
    echo(client, strcmp(argument[1], "park") != 0, strcmp(argument[1], "yield") == 0);
    return 0;
}
