/*
 * The look after our keys in Redis, every watch_ms while there are any: one MGET with the marker in it. A key
 * that is gone was deleted by an operator, unless Redis evicted keys since the look before: then it is
 * written anew. Another valid value is taken over, rubbish is told once.
 */
#ifndef DEFIB_CONTROLLER_RESTART_WATCH_H
#define DEFIB_CONTROLLER_RESTART_WATCH_H

/* The timer's callback; `arg` is the struct restart_store. Also repeats writes that failed, and writes keys
 * anew long before they run out. */
void restart_watch_look(void *arg);

#endif
