/* What loopback TCP costs on this machine at best: a bare echo server, in C.
 *
 *   tcp_echo spin|yield|park CPU [CLIENTS]
 *
 * Prints the port it listens on, takes its clients, one if it is not told how many, and sends back
 * whatever comes, until a client leaves. spin: it asks the socket again and again; yield: it lets
 * others run in between; park: it sleeps in the kernel. Of several clients epoll says which to
 * serve. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
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

static int listen_for(int clients)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, clients) ||
        getsockname(listener, (struct sockaddr *)&address, &size))
        return -1;
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static int accept_one(int listener)
{
    int client = accept(listener, NULL, NULL), on = 1;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return client;
}

static char data[1 << 16];

static int send_back(int client, ssize_t size)
{
    for (ssize_t done = 0; done < size;) {
        ssize_t part = send(client, data + done, size - done, MSG_NOSIGNAL);
        if (part < 0)
            return 0;
        done += part;
    }
    return 1;
}

static void echo_all(int watched, int polls, int yields)
{
    struct epoll_event ready[64];
    for (;;) {
        int count = epoll_wait(watched, ready, 64, polls ? 0 : -1);
        for (int place = 0; place < count; place++) {
            int client = ready[place].data.fd;
            ssize_t size = recv(client, data, sizeof data, MSG_DONTWAIT);
            if (size == 0 || (size > 0 && !send_back(client, size)))
                return;
        }
        if (count <= 0 && yields)
            sched_yield();
        else if (count <= 0)
            __builtin_ia32_pause();
    }
}

static int watch_all(int listener, int clients)
{
    int watched = epoll_create1(EPOLL_CLOEXEC);
    for (int taken = 0; taken < clients; taken++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = accept_one(listener)};
        if (epoll_ctl(watched, EPOLL_CTL_ADD, event.data.fd, &event))
            return -1;
    }
    return watched;
}

static void echo(int client, int polls, int yields)
{
    for (;;) {
        ssize_t size = recv(client, data, sizeof data, polls ? MSG_DONTWAIT : 0);
        if (size > 0) {
            if (!send_back(client, size))
                return;
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
    if (count != 3 && count != 4) {
        fprintf(stderr, "usage: tcp_echo spin|yield|park CPU [CLIENTS]\n");
        return 64;
    }
    int polls = strcmp(argument[1], "park") != 0, yields = strcmp(argument[1], "yield") == 0;
    int clients = count == 4 ? atoi(argument[3]) : 1;
    prctl(PR_SET_PDEATHSIG, 9);
    pin(atoi(argument[2]));
    int listener = listen_for(clients);
    int served = count == 4 ? watch_all(listener, clients) : accept_one(listener);
    if (listener < 0 || served < 0) {
        perror("tcp_echo");
        return 1;
    }
    close(listener);
    if (count == 4)
        echo_all(served, polls, yields);
    else
        echo(served, polls, yields);
    return 0;
}
