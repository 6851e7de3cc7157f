/*
 * A sound card made of files, for tests: an ALSA I/O plug-in that keeps the pace of a real card.
 *
 * Capture reads raw s16 frames from a file, from its beginning at each open and again whenever
 * another file is renamed over it, and silence after its end. Playback appends raw s16 frames to a
 * file. A position in either file is therefore a time. When the program is late the card's clock
 * waits for it, so that a busy machine makes no xrun of its own: every xrun is one that was asked for.
 *
 * The control file holds one word: "stall" makes one xrun and removes the file, "gone" unplugs the
 * card until the file is removed, "busy" makes an open fail as if another program had the card.
 *
 * The journal gets one line "<monotonic ns> <frame>" whenever the clock starts or had to wait: the
 * time at which that frame of the file passes the card. Frames after it follow at the card's rate.
 *
 * Configuration: type paced, file, rate, channels, and optionally control and journal.
 */
#define _GNU_SOURCE
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000LL

struct paced {
	snd_pcm_ioplug_t io;
	char *file;
	char *control;
	char *journal;
	int fd;                  /* the open sound file, or -1 */
	ino_t inode;             /* of the microphone's file, to notice a rename over it */
	int64_t start_ns;        /* when frame 0 of this run passes the card */
	int64_t file_frames;     /* frames of the file before this run began */
	int64_t run_frames;      /* frames handed over in this run */
	snd_pcm_uframes_t avail_min;
	snd_pcm_uframes_t boundary;
	int running;
	int stalled;             /* an xrun was ordered and not yet reported */
};

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int ordered(const struct paced *card, const char *word)
{
	char text[16] = "";
	int fd, length;

	if (!card->control)
		return 0;
	fd = open(card->control, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	length = read(fd, text, sizeof text - 1);
	close(fd);
	return length > 0 && strncmp(text, word, strlen(word)) == 0;
}

static void note(const struct paced *card, int64_t at_ns, int64_t frame)
{
	char line[64];
	int fd, length;

	if (!card->journal)
		return;
	fd = open(card->journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	length = snprintf(line, sizeof line, "%lld %lld\n", (long long)at_ns, (long long)frame);
	if (write(fd, line, length) < 0)
		perror("pcm_paced: journal");
	close(fd);
}

static int64_t frames_ns(const struct paced *card, int64_t frames)
{
	return frames * NS_PER_S / card->io.rate;
}

/* The frame the card has come to. It never runs past what the program allows. */
static int64_t position(struct paced *card, int64_t limit)
{
	int64_t now, due;

	if (!card->running)
		return 0;
	now = now_ns();
	due = (now - card->start_ns) * card->io.rate / NS_PER_S;
	if (due <= limit)
		return due;
	card->start_ns = now - frames_ns(card, limit);
	note(card, now, card->file_frames + limit);
	return limit;
}

/*
 * Playback may not pass what was written, capture may not pass a full buffer; ALSA takes an empty
 * buffer of playback and a full one of capture for an xrun, so it stays one frame off.
 */
static int64_t limit_of(const struct paced *card)
{
	if (card->io.stream == SND_PCM_STREAM_PLAYBACK)
		return card->run_frames > 0 ? card->run_frames - 1 : 0;
	return card->run_frames + (int64_t)card->io.buffer_size - 1;
}

/* Lets poll() return when a period can be moved, or at once. */
static void arm(struct paced *card)
{
	struct itimerspec when = { { 0, 0 }, { 0, 1 } };

	if (card->running) {
		int64_t target = card->run_frames + (int64_t)card->avail_min;
		int64_t at;
		if (card->io.stream == SND_PCM_STREAM_PLAYBACK)
			target -= (int64_t)card->io.buffer_size;
		/* one frame's time more, so that rounding down never wakes too early */
		at = card->start_ns + frames_ns(card, target > 0 ? target : 0) + NS_PER_S / card->io.rate;
		when.it_value.tv_sec = at / NS_PER_S;
		when.it_value.tv_nsec = at % NS_PER_S;
	}
	timerfd_settime(card->io.poll_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static int paced_start(snd_pcm_ioplug_t *io)
{
	struct paced *card = io->private_data;

	card->start_ns = now_ns();
	card->running = 1;
	note(card, card->start_ns, card->file_frames);
	arm(card);
	return 0;
}

static int paced_stop(snd_pcm_ioplug_t *io)
{
	struct paced *card = io->private_data;

	card->running = 0;
	arm(card);
	return 0;
}

static int paced_prepare(snd_pcm_ioplug_t *io)
{
	struct paced *card = io->private_data;

	card->file_frames += card->run_frames;
	card->run_frames = 0;
	card->running = 0;
	arm(card);
	return 0;
}

static snd_pcm_sframes_t paced_pointer(snd_pcm_ioplug_t *io)
{
	struct paced *card = io->private_data;

	if (ordered(card, "gone"))
		return -ENODEV;
	if (card->stalled) {
		card->stalled = 0;
		return -EPIPE;
	}
	return position(card, limit_of(card)) % (int64_t)card->boundary;
}

static int paced_revents(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned int count, unsigned short *revents)
{
	struct paced *card = io->private_data;
	int64_t avail;

	(void)fds;
	(void)count;
	if (ordered(card, "gone")) {
		*revents = POLLERR | POLLHUP;
		return 0;
	}
	if (card->running && ordered(card, "stall")) {
		unlink(card->control);
		card->stalled = 1;
		*revents = POLLERR;
		return 0;
	}
	if (io->stream == SND_PCM_STREAM_PLAYBACK)
		avail = (int64_t)io->buffer_size - (card->run_frames - position(card, limit_of(card)));
	else
		avail = position(card, limit_of(card)) - card->run_frames;
	if (avail < (int64_t)card->avail_min) {
		*revents = 0;
		arm(card);
	} else {
		*revents = io->stream == SND_PCM_STREAM_PLAYBACK ? POLLOUT : POLLIN;
	}
	return 0;
}

/* Opens the microphone's file anew when another one has its name. */
static void follow_rename(struct paced *card)
{
	struct stat found;

	if (stat(card->file, &found) < 0)
		return;
	if (card->fd >= 0 && found.st_ino == card->inode)
		return;
	if (card->fd >= 0)
		close(card->fd);
	card->fd = open(card->file, O_RDONLY | O_CLOEXEC);
	card->inode = found.st_ino;
	if (card->run_frames > 0) {
		card->file_frames = -card->run_frames;
		note(card, card->start_ns + frames_ns(card, card->run_frames), 0);
	}
}

static snd_pcm_sframes_t paced_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
					snd_pcm_uframes_t offset, snd_pcm_uframes_t size)
{
	struct paced *card = io->private_data;
	char *samples = (char *)areas[0].addr + (areas[0].first + areas[0].step * offset) / 8;
	size_t bytes = size * io->channels * 2, done = 0;

	if (ordered(card, "gone"))
		return -ENODEV;
	if (io->stream == SND_PCM_STREAM_PLAYBACK) {
		while (done < bytes) {
			ssize_t wrote = write(card->fd, samples + done, bytes - done);
			if (wrote < 0)
				return -EIO;
			done += wrote;
		}
	} else {
		follow_rename(card);
		while (card->fd >= 0 && done < bytes) {
			ssize_t got = read(card->fd, samples + done, bytes - done);
			if (got <= 0)
				break;
			done += got;
		}
		memset(samples + done, 0, bytes - done);
	}
	card->run_frames += size;
	arm(card);
	return size;
}

static int paced_sw_params(snd_pcm_ioplug_t *io, snd_pcm_sw_params_t *params)
{
	struct paced *card = io->private_data;

	snd_pcm_sw_params_get_avail_min(params, &card->avail_min);
	return snd_pcm_sw_params_get_boundary(params, &card->boundary);
}

static void paced_free(struct paced *card)
{
	if (card->fd >= 0)
		close(card->fd);
	if (card->io.poll_fd >= 0)
		close(card->io.poll_fd);
	free(card->file);
	free(card->control);
	free(card->journal);
	free(card);
}

static int paced_close(snd_pcm_ioplug_t *io)
{
	paced_free(io->private_data);
	return 0;
}

static const snd_pcm_ioplug_callback_t paced_callbacks = {
	.start = paced_start,
	.stop = paced_stop,
	.pointer = paced_pointer,
	.transfer = paced_transfer,
	.prepare = paced_prepare,
	.sw_params = paced_sw_params,
	.poll_revents = paced_revents,
	.close = paced_close,
};

static int constrain(snd_pcm_ioplug_t *io, unsigned int rate, unsigned int channels)
{
	static const unsigned int access[] = { SND_PCM_ACCESS_RW_INTERLEAVED };
	static const unsigned int format[] = { SND_PCM_FORMAT_S16_LE };
	unsigned int frame_bytes = channels * 2;
	int error;

	if ((error = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_ACCESS, 1, access)) < 0 ||
	    (error = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_FORMAT, 1, format)) < 0 ||
	    (error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_RATE, rate, rate)) < 0 ||
	    (error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_CHANNELS, channels, channels)) < 0 ||
	    (error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIODS, 2, 8)) < 0)
		return error;
	/* periods of 2 to 250 ms */
	return snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, rate / 500 * frame_bytes,
					       rate / 4 * frame_bytes);
}

static int read_settings(struct paced *card, snd_config_t *conf, long *rate, long *channels)
{
	snd_config_iterator_t at, next;

	snd_config_for_each(at, next, conf) {
		snd_config_t *entry = snd_config_iterator_entry(at);
		const char *id, *text = NULL;

		if (snd_config_get_id(entry, &id) < 0 || !strcmp(id, "type") || !strcmp(id, "hint"))
			continue;
		if (!strcmp(id, "rate"))
			snd_config_get_integer(entry, rate);
		else if (!strcmp(id, "channels"))
			snd_config_get_integer(entry, channels);
		else if (snd_config_get_string(entry, &text) < 0)
			return -EINVAL;
		else if (!strcmp(id, "file"))
			card->file = strdup(text);
		else if (!strcmp(id, "control"))
			card->control = strdup(text);
		else if (!strcmp(id, "journal"))
			card->journal = strdup(text);
		else
			return -EINVAL;
	}
	return card->file && *rate > 0 && *channels > 0 ? 0 : -EINVAL;
}

SND_PCM_PLUGIN_DEFINE_FUNC(paced)
{
	long rate = 0, channels = 0;
	struct paced *card = calloc(1, sizeof *card);
	int error;

	(void)root;
	if (!card)
		return -ENOMEM;
	card->fd = -1;
	card->io.poll_fd = -1;
	error = read_settings(card, conf, &rate, &channels);
	if (!error && ordered(card, "gone"))
		error = -ENODEV;
	if (!error && ordered(card, "busy"))
		error = -EBUSY;
	if (error)
		goto failed;
	if (stream == SND_PCM_STREAM_PLAYBACK) {
		struct stat speaker;
		card->fd = open(card->file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (card->fd < 0 || fstat(card->fd, &speaker) < 0) {
			error = -errno;
			goto failed;
		}
		card->file_frames = speaker.st_size / (channels * 2);
	}
	card->io.poll_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (card->io.poll_fd < 0) {
		error = -errno;
		goto failed;
	}
	card->avail_min = 1;
	card->boundary = 1 << 30;
	card->io.version = SND_PCM_IOPLUG_VERSION;
	card->io.name = "Paced test card";
	card->io.flags = SND_PCM_IOPLUG_FLAG_MONOTONIC | SND_PCM_IOPLUG_FLAG_BOUNDARY_WA;
	card->io.poll_events = POLLIN;
	card->io.callback = &paced_callbacks;
	card->io.private_data = card;
	error = snd_pcm_ioplug_create(&card->io, name, stream, mode);
	if (error < 0)
		goto failed;
	error = constrain(&card->io, rate, channels);
	if (error < 0) {
		snd_pcm_ioplug_delete(&card->io); /* calls paced_close */
		return error;
	}
	*pcmp = card->io.pcm;
	return 0;
failed:
	paced_free(card);
	return error;
}

SND_PCM_PLUGIN_SYMBOL(paced);
