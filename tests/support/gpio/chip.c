/* A GPIO chip made of files, preloaded into the program under test: a line that is asked for is
 * the FIFO `line-<offset>` beside GPIO_CHIP, from which the kernel's events are read; its level is
 * the first byte of `level-<offset>`; what outputs are set to is appended to `lamp`, a line a time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/gpio.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINES 16
static struct { int fd; unsigned offset; } lines[LINES];
static int used;

static int beside_chip(const char *name, unsigned offset, int flags)
{
	char path[PATH_MAX];
	const char *chip = getenv("GPIO_CHIP");
	const char *slash = chip ? strrchr(chip, '/') : NULL;
	if (!slash)
		return -1;
	snprintf(path, sizeof path, "%.*s/%s-%u", (int)(slash - chip), chip, name, offset);
	return open(path, flags | O_CLOEXEC, 0600);
}

static int get_line(struct gpio_v2_line_request *request)
{
	int is_output = (request->config.flags & GPIO_V2_LINE_FLAG_OUTPUT) != 0;
	int fd = is_output ? beside_chip("lamp", request->offsets[0], O_WRONLY | O_CREAT | O_APPEND)
			   : beside_chip("line", request->offsets[0], O_RDWR);
	if (fd < 0 || used == LINES) {
		errno = ENODEV;
		return -1;
	}
	lines[used].fd = fd;
	lines[used++].offset = request->offsets[0];
	request->fd = fd;
	return 0;
}

static int get_values(int fd, struct gpio_v2_line_values *values)
{
	for (int i = 0; i < used; i++) {
		char level = '0';
		int file;
		if (lines[i].fd != fd)
			continue;
		file = beside_chip("level", lines[i].offset, O_RDONLY);
		if (file >= 0) {
			if (read(file, &level, 1) != 1)
				level = '0';
			close(file);
		}
		values->bits = level == '1';
		return 0;
	}
	errno = EBADF;
	return -1;
}

int ioctl(int fd, unsigned long request, ...)
{
	static int (*real)(int, unsigned long, ...);
	va_list list;
	void *argument;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	switch (request) {
	case GPIO_V2_GET_LINE_IOCTL:
		return get_line(argument);
	case GPIO_V2_LINE_GET_VALUES_IOCTL:
		return get_values(fd, argument);
	case GPIO_V2_LINE_SET_VALUES_IOCTL:
		return dprintf(fd, "%llu\n", (unsigned long long)
			       ((struct gpio_v2_line_values *)argument)->bits) > 0 ? 0 : -1;
	}
	if (!real)
		real = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	return real(fd, request, argument);
}
