/* The version that --version, registrations and heartbeats tell. */
#ifndef DEFIB_COMMON_VERSION_H
#define DEFIB_COMMON_VERSION_H

#define DEFIB_VERSION "0.1.0"

#endif
