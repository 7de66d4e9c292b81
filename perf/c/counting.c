/* Turns callgrind's counting on and off from inside the process that it watches; no effect elsewhere. */
#include <valgrind/callgrind.h>

void counting_start(void) { CALLGRIND_START_INSTRUMENTATION; }
void counting_stop(void) { CALLGRIND_STOP_INSTRUMENTATION; }
