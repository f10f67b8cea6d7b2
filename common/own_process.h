/* What this process has used so far, by the kernel's word. From any thread; does not block. */
#ifndef DEFIB_COMMON_OWN_PROCESS_H
#define DEFIB_COMMON_OWN_PROCESS_H

#include <stdint.h>

int64_t own_process_resident_bytes(void); /* 0 where /proc does not tell */
int64_t own_process_cpu_us(void);         /* of all threads, user and system together */

#endif
