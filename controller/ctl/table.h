/*
 * Tables for people: columns as wide as what stands in them, the whole no wider than the terminal. What does
 * not fit is cut with "…", the last column first.
 */
#ifndef DEFIB_CONTROLLER_CTL_TABLE_H
#define DEFIB_CONTROLLER_CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { TABLE_COLUMNS = 10 };

enum table_color { TABLE_PLAIN, TABLE_GOOD, TABLE_WARNING, TABLE_BAD, TABLE_DIM };

struct table;

/* heads: NULL-terminated, at most TABLE_COLUMNS; borrowed. */
struct table *table_new(const char *const *heads);
void table_free(struct table *table);

/* cells: one for each head; copied. The color is that of the whole row. */
void table_add(struct table *table, enum table_color color, const char *const *cells);
size_t table_count(const struct table *table);
void table_print(const struct table *table, int width, bool has_color, FILE *out);

const char *table_paint(enum table_color color, bool has_color); /* "" where colors are off */
const char *table_unpaint(bool has_color);

#endif
