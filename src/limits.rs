//! Every bound of the program, by name. Going over one gets the answer named beside it.
//!
//! Sizes are bytes unless the name says otherwise.

use std::time::Duration;

// One HTTP request.
/// 431.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// 431.
pub const HEADER_COUNT_MAX: usize = 100;
/// 414.
pub const URI_BYTES_MAX: usize = 8 * 1024;
/// From the first byte of a head to its last; then 408 and close. Also the wait of a silent new connection.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
pub const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(75);
/// Replaces [`KEEP_ALIVE_IDLE`] when over half of [`HTTP_CONNECTIONS_MAX`] is taken.
pub const KEEP_ALIVE_IDLE_CROWDED: Duration = Duration::from_secs(10);
/// 413.
pub const BODY_BYTES_DEFAULT: usize = 1024 * 1024;
/// First byte of a body, and the longest gap between two; 408.
pub const BODY_GAP_TIMEOUT: Duration = Duration::from_secs(10);
/// 408 when a body is slower than this over [`BODY_RATE_WINDOW`].
pub const BODY_RATE_BYTES_PER_S_MIN: u64 = 1024;
pub const BODY_RATE_WINDOW: Duration = Duration::from_secs(30);
/// All buffered bodies together; 503 with Retry-After 1.
pub const BODIES_BUFFERED_BYTES_MAX: usize = 24 * 1024 * 1024;
/// An answer that makes no progress is reset.
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);

// One multipart/form-data body; 400.
pub const MULTIPART_PARTS_MAX: usize = 32;
pub const MULTIPART_HEAD_BYTES_MAX: usize = 4 * 1024;
/// Of a field that is no file; 413.
pub const MULTIPART_TEXT_BYTES_MAX: usize = 64 * 1024;
/// Of a field's and a file's name.
pub const MULTIPART_NAME_CHARS_MAX: usize = 255;
/// Text before the first boundary, which nobody reads.
pub const MULTIPART_PREAMBLE_BYTES_MAX: usize = 4 * 1024;

// Connections.
/// Oldest idle closed, then 503.
pub const HTTP_CONNECTIONS_MAX: usize = 512;
/// Oldest unfinished head closed.
pub const UNFINISHED_HEADS_MAX: usize = 256;
/// Requests whose body is unfinished; beyond it the longest silent one is closed, so that together
/// with unfinished heads they never fill [`HTTP_CONNECTIONS_MAX`].
pub const UNFINISHED_BODIES_MAX: usize = 192;
/// Event streams, counted apart from [`HTTP_CONNECTIONS_MAX`]; 503.
pub const EVENT_STREAMS_MAX: usize = 512;
pub const REALTIME_SOCKETS_MAX: usize = 50_000;
pub const REALTIME_SOCKETS_TLS_MAX: usize = 5_000;
/// RAM available is divided by this to cap realtime sockets on a small board.
pub const REALTIME_SOCKET_RAM_BYTES: u64 = 16 * 1024;
/// Descriptors kept for everything that is no realtime socket.
pub const NOFILE_RESERVE: u64 = 256;
/// Per address; loopback and trusted proxies are exempt.
pub const ADDRESS_CONNECTIONS_MAX: usize = 256;
pub const ADDRESS_UNFINISHED_HEADS_MAX: usize = 32;
pub const ADDRESS_NEW_PER_S: u32 = 50;
pub const ADDRESS_NEW_BURST: u32 = 200;
/// Addresses and tokens remembered by a rate limiter; the longest unused goes first.
pub const RATE_KEYS_MAX: usize = 4_096;
pub const ACCEPTS_PER_TURN: usize = 64;
pub const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(50);
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The kernel takes no more of an answer while this much of it is unsent.
pub const UNSENT_BYTES_LOW: usize = 64 * 1024;
/// Reads waiting for the thread for files, more than one for each HTTP connection; 503.
pub const FILE_JOBS_MAX: usize = 1_024;
/// A shorter text is not worth compressing; a longer one would hold the loop.
pub const COMPRESS_BYTES_MIN: usize = 1024;
pub const COMPRESS_BYTES_MAX: usize = 64 * 1024;

// Realtime sockets.
/// Kernel buffers of an upgraded or event-stream socket, each way: 300 stalled readers held 1,080 MB without it.
pub const REALTIME_KERNEL_BUFFER_BYTES: usize = 32 * 1024;
/// Close 1009.
pub const WS_MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Close 1009.
pub const WS_FRAGMENTS_MAX: usize = 1_000;
/// Shared by all sockets of the loop.
pub const WS_READ_BUFFER_BYTES: usize = 64 * 1024;
pub const WS_PING_INTERVAL: Duration = Duration::from_secs(20);
/// A socket that answers no ping for this long is closed.
pub const WS_PONG_TIMEOUT: Duration = Duration::from_secs(60);
pub const WS_CLOSE_WAIT: Duration = Duration::from_secs(5);
/// Commands of one socket in progress; beyond it the socket is not read.
pub const WS_COMMANDS_MAX: usize = 32;
/// A consumer's queue; over it the socket is closed with 1013 and resumes by sequence number.
pub const CONSUMER_QUEUE_BYTES_MAX: usize = 64 * 1024;
pub const CONSUMER_QUEUE_MESSAGES_MAX: usize = 256;
/// Packets of one payload of long polling; the session is closed.
pub const ENGINE_PAYLOAD_PACKETS_MAX: usize = 256;
/// Sessions of long polling; 503. Each may hold one of [`HTTP_CONNECTIONS_MAX`].
pub const ENGINE_POLLING_SESSIONS_MAX: usize = 128;
/// A session that ended is kept so long for the poll that learns of it.
pub const ENGINE_POLLING_CLOSE_WAIT: Duration = Duration::from_secs(30);
/// From the WebSocket of a session that polls to its upgrade; then that WebSocket is closed.
pub const ENGINE_UPGRADE_MAX: Duration = Duration::from_secs(10);
/// Packets of one session in a second; it is not read before the next one.
pub const ENGINE_PACKETS_PER_S_MAX: usize = 500;
/// What one client may have unread, where its room says nothing else.
pub const SOCKETIO_QUEUE_BYTES_MAX: usize = 1024 * 1024;
pub const SOCKETIO_QUEUE_PACKETS_MAX: usize = 1_024;
/// Of a message or post before the first accepted CONNECT: it holds a token and little else.
pub const SOCKETIO_STRANGER_BYTES_MAX: usize = 16 * 1024;
/// Times that one session is refused a namespace: looking at a token costs more than a packet.
pub const SOCKETIO_REFUSALS_MAX: u8 = 16;
/// Answers that one client waits for; it is not read while there are more.
pub const SOCKETIO_OWED_ANSWERS_MAX: usize = 256;
/// Binary messages of one Socket.IO packet; the transport is closed.
pub const SOCKETIO_ATTACHMENTS_MAX: usize = 10;
/// Answers that are awaited of one socket.
pub const SOCKETIO_ACKS_MAX: usize = 256;
/// Broadcasts that wait behind one in slices; whoever publishes more sends them itself.
pub const SOCKETIO_BROADCASTS_WAITING_MAX: usize = 256;
pub const BROADCAST_SLICE_SOCKETS: usize = 64;
pub const SSE_HEARTBEAT: Duration = Duration::from_secs(15);

// Bus.
pub const TOPIC_RING_EVENTS: usize = 256;
pub const TOPIC_RING_BYTES: usize = 256 * 1024;
pub const TOPICS_MAX: usize = 4_096;

// Store.
/// 503.
pub const STORE_QUEUE_JOBS_MAX: usize = 4_096;
/// 503.
pub const STORE_QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
pub const STORE_BATCH_JOBS_MAX: usize = 512;
pub const STORE_BATCH_BYTES_MAX: usize = 1024 * 1024;
pub const STORE_LINGER: Duration = Duration::from_millis(1);
/// A relaxed job waits this long for a durable batch to ride along with.
pub const STORE_RELAXED_WAIT: Duration = Duration::from_secs(1);
pub const STORE_RELAXED_JOBS_MAX: usize = 1_024;
pub const QUERY_QUEUE_JOBS_MAX: usize = 256;
/// A query that runs longer is interrupted; 503.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
pub const WAL_CHECKPOINT_IDLE_PAGES: u32 = 1_000;
pub const WAL_CHECKPOINT_PAGES: u32 = 8_000;
pub const SQLITE_CACHE_KIB: u32 = 1_024;
pub const SQLITE_STATEMENTS_CACHED: usize = 64;
pub const LOOP_READ_ROWS_MAX: usize = 20;
pub const BACKUPS_KEPT: usize = 30;
/// Rows of one page of any list; a larger `limit` is answered with this many.
pub const PAGE_ROWS_MAX: usize = 200;
/// 400.
pub const PAGE_OFFSET_MAX: usize = 1_000_000;

// Outbound.
pub const CALLS_RUNNING_MAX: usize = 8;
/// 503.
pub const CALLS_WAITING_MAX: usize = 64;
pub const CALL_THREAD_IDLE: Duration = Duration::from_secs(10);
pub const CALL_ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
pub const STREAMS_MAX: usize = 200;
pub const IDLE_UPSTREAMS_PER_HOST_MAX: usize = 4;
pub const IDLE_UPSTREAM: Duration = Duration::from_secs(30);
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);
pub const THREAD_STACK_BYTES: usize = 256 * 1024;

// The loop.
/// A turn of the loop longer than this is counted and logged.
pub const LOOP_TURN_WARN: Duration = Duration::from_millis(20);
pub const LOOP_BEAT: Duration = Duration::from_millis(250);
/// The loop counts as stuck when its beat stood still for this long.
pub const LOOP_STUCK: Duration = Duration::from_secs(2);
pub const TRIM_INTERVAL_MIN: Duration = Duration::from_secs(30);
pub const SHUTDOWN_STREAMS: Duration = Duration::from_secs(20);
pub const SHUTDOWN_TOTAL: Duration = Duration::from_secs(25);
pub const OPS_BODY_BYTES_MAX: usize = 64 * 1024;
/// Unfinished bodies that the ops listener waits for at once; one more is left where it is.
pub const OPS_BODIES_MAX: usize = 4;
/// Requests whose body cannot be got rid of safely; after this many the listener closes.
pub const OPS_BODIES_LEFT_MAX: usize = 32;
/// A reader of the ops listener that takes nothing for this long is given up.
pub const OPS_WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries to open the ops listener again; doubles up to 30 s.
pub const OPS_RETRY: Duration = Duration::from_millis(100);
pub const OPS_RETRY_MAX: Duration = Duration::from_secs(30);
/// A commit that jobs wait for and that does not come for this long: not ready.
pub const COMMIT_STUCK: Duration = Duration::from_secs(5);
/// The watchdog is fed at most this seldom, and checks of progress are made this often.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(1);
pub const WATCHDOG_FEED_MAX: Duration = Duration::from_secs(10);
/// Further ones are dropped and logged.
pub const WARNINGS_MAX: usize = 64;
/// Lines waiting for a slow terminal or card; beyond it lines are counted and dropped.
pub const LOG_QUEUE_LINES_MAX: usize = 1_024;
/// A longer line is cut.
pub const LOG_LINE_BYTES_MAX: usize = 16 * 1024;
/// Then the file is rotated; [`LOG_FILES_KEPT`] older ones stay.
pub const LOG_FILE_BYTES_MAX: u64 = 10 * 1024 * 1024;
pub const LOG_FILES_KEPT: u32 = 14;
/// How long an ending process waits for its last lines to be written.
pub const LOG_FLUSH_MAX: Duration = Duration::from_secs(2);
/// Refused at the start.
pub const ENV_FILE_BYTES_MAX: usize = 64 * 1024;
/// Of a value set on the page; 400.
pub const SETTING_CHARS_MAX: usize = 4_096;

// Identity.
pub const CLAIM_TRIES_MAX: u32 = 5;
pub const CLAIM_CODE_LIFE: Duration = Duration::from_secs(180);
/// No try is taken for this long after a code was burnt by wrong tries; doubles each time.
pub const CLAIM_BACK_OFF: Duration = Duration::from_secs(30);
pub const CLAIM_BACK_OFF_MAX: Duration = Duration::from_secs(3_600);
/// 409.
pub const DEVICES_MAX: usize = 256;
/// Rows of revoked devices that are kept.
pub const DEVICES_REVOKED_KEPT: usize = 256;
/// A device's last use is written at most this often.
pub const LAST_SEEN_INTERVAL: Duration = Duration::from_secs(60);
pub const DEVICE_NAME_CHARS_MAX: usize = 64;

// Voice.
pub const CHAT_MESSAGE_BYTES_MAX: usize = 32 * 1024;
pub const MEMORY_BYTES_MAX: usize = 64 * 1024;
pub const QUERY_CHARS_MAX: usize = 256;
pub const QUERY_TERMS_MAX: usize = 16;
/// Best text matches of a search that are ranked by age and importance.
pub const SEARCH_CANDIDATES_MAX: usize = 200;
/// 400.
pub const MEMORY_TAGS_MAX: usize = 32;
/// 400.
pub const TAG_CHARS_MAX: usize = 64;
/// Entries of one list of a memory's details, and characters of one entry; 400.
pub const DETAIL_ENTRIES_MAX: usize = 32;
pub const DETAIL_CHARS_MAX: usize = 500;
/// Tags made by hand; 409. Those that memories bring along come on top.
pub const TAGS_MAX: usize = 2_000;
/// Of a conversation that a model reads at once; the rest waits for the next look.
pub const ORGANIZE_CHARS_MAX: usize = 12_000;
/// Of what a model answers to filing; more is refused.
pub const ORGANIZE_TOKENS_MAX: u32 = 4_096;
pub const ORGANIZE_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Memories that one look at a conversation may file.
pub const ORGANIZE_MEMORIES_MAX: usize = 5;
/// One call of a model for filing.
pub const ORGANIZE_TIMEOUT: Duration = Duration::from_secs(120);
/// Conversations that one look finds idle; the others come at the next.
pub const ORGANIZE_CONVERSATIONS: usize = 20;
/// How often idle conversations, missing vectors and the daily summary are looked for.
pub const FILING_INTERVAL: Duration = Duration::from_secs(30);
/// A conversation that was unfiled for longer stays so.
pub const FILING_BACK_DAYS: i64 = 30;
/// Proposed memories that wait for a word; the oldest go first.
pub const SUGGESTIONS_MAX: usize = 200;
/// Vectors compared for one search; those of older memories are left out.
pub const VECTORS_SCANNED_MAX: usize = 20_000;
pub const VECTOR_DIMENSIONS_MAX: usize = 4_096;
/// Best matches by meaning that are merged with those by words.
pub const VECTOR_CANDIDATES_MAX: usize = 50;
/// Texts of one call for vectors.
pub const EMBED_BATCH_ROWS: usize = 32;
/// A longer text's meaning is that of its beginning.
pub const EMBED_TEXT_CHARS_MAX: usize = 4_000;
pub const EMBED_ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
pub const EMBED_TIMEOUT: Duration = Duration::from_secs(30);
/// A search waits so long for the meaning of its words, then goes by words alone.
pub const EMBED_QUERY_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Notes and timers of a day that its summary tells one by one.
pub const SUMMARY_NOTES_MAX: usize = 50;
/// A conversation exported whole; 400.
pub const EXPORT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Of one import, sound included; 413.
pub const IMPORT_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Text of one import once unpacked, whatever the packed file promises; 400.
pub const IMPORT_TEXT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// One line of an import; 400.
pub const IMPORT_LINE_BYTES_MAX: usize = 1024 * 1024;
/// Rows of one import; 400.
pub const IMPORT_ROWS_MAX: usize = 1_000_000;
/// Text that waits for one transaction of an import.
pub const IMPORT_CHUNK_BYTES: usize = 1024 * 1024;
/// Of one backup that is sent back; 413.
pub const RESTORE_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// Files in one backup.
pub const BACKUP_FILES_MAX: usize = 200_000;
pub const BACKUP_MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Exports, and imports, at a time; one more is answered 409.
pub const EXPORTS_MAX: usize = 2;
/// Of the threads that write exports and read imports.
pub const ARCHIVE_STACK_BYTES: usize = 512 * 1024;
/// Rows that an export reads at once.
pub const EXPORT_PAGE_ROWS: usize = 200;
/// Rows of one transaction of an import.
pub const IMPORT_CHUNK_ROWS: usize = 500;
/// Rows that one transaction forgets, so that other writes get their turn between.
pub const FORGET_CHUNK_ROWS: usize = 500;
/// Questions of the box that wait for a yes, over all conversations; the oldest goes first.
pub const CONFIRMATIONS_MAX: usize = 64;
pub const CONFIRMATION_LIFE: Duration = Duration::from_secs(60);
pub const COMMAND_OUTPUT_BYTES_MAX: usize = 10 * 1024 * 1024;
pub const STT_COMMANDS_MAX: usize = 1;
pub const TTS_COMMANDS_MAX: usize = 2;
pub const VOICE_FRAME_BYTES_MAX: usize = 64 * 1024;
/// A chat turn ends listening after this much sound; a note after [`NOTE_MAX`].
pub const LISTEN_MAX: Duration = Duration::from_secs(60);
pub const NOTE_MAX: Duration = Duration::from_secs(600);
pub const CAPTURE_RING: Duration = Duration::from_secs(4);

// Recordings.
/// Sound that waits for the card; more ends the recording with an error.
pub const RECORDER_QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A power cut costs at most this much of a recording under way.
pub const RECORDER_SYNC: Duration = Duration::from_secs(5);
/// 507.
pub const DISK_FREE_BYTES_MIN: u64 = 200 * 1024 * 1024;
/// Recordings that nobody finished and that wait for their row; more wait for the next start.
pub const RECORDING_ABANDONED_MAX: usize = 64;
pub const RECORDING_SWEEP: Duration = Duration::from_secs(3_600);
pub const RECORDING_SWEEP_ROWS: usize = 100;
/// A recording that was let go and that the store does not take: pauses before it is tried again,
/// the last one again and again.
pub const RECORDING_CARE_PAUSES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(300),
];
/// A note ends after this much sound.
pub const MEMO_MAX: Duration = Duration::from_secs(6 * 3_600);
/// A note that nobody stops ends after this much silence.
pub const MEMO_SILENCE: Duration = Duration::from_secs(120);
/// A longer recording is transcribed in pieces, cut at the quietest place between these.
pub const PIECE_MIN: Duration = Duration::from_secs(480);
pub const PIECE_MAX: Duration = Duration::from_secs(600);
/// Longer sound in one call is queued and answered 202.
pub const VOICE_CALL_SOUND_MAX: Duration = Duration::from_secs(120);
pub const CLIENT_ID_BYTES_MAX: usize = 128;

// Work that waits (`voice/queue`).
/// Jobs that wait or run; beyond it 507.
pub const JOBS_MAX: u64 = 10_000;
/// Rows of jobs that are done.
pub const JOBS_DONE_KEPT: u64 = 200;
/// One try of one job.
pub const JOB_MAX: Duration = Duration::from_secs(2 * 3_600);
/// Between two jobs while a backlog is worked off.
pub const JOB_SPACING: Duration = Duration::from_secs(5);
pub const JOB_BACKOFF_FIRST: Duration = Duration::from_secs(5);
pub const JOB_BACKOFF_MAX: Duration = Duration::from_secs(900);
/// The longest wait that another side may ask for.
pub const JOB_WAIT_MAX: Duration = Duration::from_secs(86_400);
/// How often an idle lane looks for a job whose own time has come.
pub const JOB_POLL: Duration = Duration::from_secs(30);
/// Before a card that refused a job's row is asked again.
pub const JOB_STORE_RETRY: Duration = Duration::from_secs(5);
/// What a job is told; 400.
pub const JOB_PAYLOAD_BYTES_MAX: usize = 256 * 1024;
pub const JOB_ERROR_CHARS_MAX: usize = 300;

// One turn of a conversation: no state outlives its limit.
/// Listening without any speech; then idle.
pub const NO_SPEECH_MAX: Duration = Duration::from_secs(8);
pub const FOLLOW_UP_MAX: Duration = Duration::from_secs(5);
/// From "that was all" to the utterance in hand.
pub const LISTEN_FINISH_MAX: Duration = Duration::from_secs(2);
/// Plus the length of the sound itself.
pub const TRANSCRIBE_MAX: Duration = Duration::from_secs(20);
/// More than an engine has, so that its own limit tells first and the sound is queued.
pub const TRANSCRIBE_GRACE: Duration = Duration::from_secs(5);
pub const TRANSCRIBE_TRIES: u8 = 2;
/// Waiting for a free place among the running engines counts too.
pub const FIRST_TEXT_MAX: Duration = Duration::from_secs(20);
pub const ANSWER_MAX: Duration = Duration::from_secs(120);
/// Speaking without a new sentence or piece of text.
pub const SPEAK_STALL_MAX: Duration = Duration::from_secs(60);
pub const SPEAK_MAX: Duration = Duration::from_secs(600);
pub const SYNTHESIZE_MAX: Duration = Duration::from_secs(10);
pub const ERROR_SHOWN: Duration = Duration::from_secs(3);
/// Utterances or sentences waiting for a free speech engine; beyond it "busy".
pub const SPEECH_WAITING_MAX: usize = 16;
/// The last words of an engine's error output that are kept.
pub const COMMAND_STDERR_BYTES_MAX: usize = 4 * 1024;
/// Below this much free memory a large recogniser is not started.
pub const FREE_SPEECH_MEMORY_BYTES_MIN: u64 = 256 * 1024 * 1024;

// Language models.
/// One event of a model's stream, and an answer that comes in one piece.
pub const LLM_EVENT_BYTES_MAX: usize = 1024 * 1024;
/// Text of one answer; more of it ends the answer there.
pub const LLM_ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Tools called by one answer, and what one of them is given.
pub const LLM_CALLS_MAX: usize = 16;
pub const LLM_TOOL_INPUT_BYTES_MAX: usize = 64 * 1024;
/// What is read of an error that a model's server tells, or of a stream's rest.
pub const LLM_ERROR_BYTES_MAX: usize = 64 * 1024;
/// A server that wants more patience than this is not asked again within the turn.
pub const LLM_RETRY_WAIT_MAX: Duration = Duration::from_secs(2);
/// Pinned memories that a model is shown.
pub const PINNED_SHOWN_MAX: usize = 16;
/// `SYSTEM_PROMPT_FILE`.
pub const OWN_RULES_BYTES_MAX: usize = 16 * 1024;
/// Times that one answer may call tools.
pub const TOOL_ROUNDS_MAX: usize = 6;
/// What one tool gives back to the model.
pub const TOOL_RESULT_BYTES_MAX: usize = 4 * 1024;

// Providers of the network.
/// Failures in a row after which a provider is left alone.
pub const PROVIDER_FAILURES_MAX: u8 = 3;
pub const BREAKER_OPEN: Duration = Duration::from_secs(30);
pub const BREAKER_OPEN_MAX: Duration = Duration::from_secs(600);
/// For each of these a provider is waited for while another stands behind it.
pub const PROVIDER_HEARING_MAX: Duration = Duration::from_secs(10);
pub const PROVIDER_SPEECH_MAX: Duration = Duration::from_secs(4);
pub const PROVIDER_FIRST_TEXT_MAX: Duration = Duration::from_secs(8);
/// Trying a stage on somebody's wish.
pub const PROVIDER_CHECK_MAX: Duration = Duration::from_secs(30);
/// Phrases for when a voice is out of reach: made this long after the start, one after the other
/// with a pause, tried again after a failure.
pub const PHRASES_AFTER: Duration = Duration::from_secs(60);
pub const PHRASES_PAUSE: Duration = Duration::from_secs(2);
pub const PHRASES_AGAIN: Duration = Duration::from_secs(600);
/// How often a network that is down is looked for; doubles.
pub const NETWORK_PROBE_INTERVAL: Duration = Duration::from_secs(5);
pub const NETWORK_PROBE_INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Of one transcription; OpenAI takes 25 MB.
pub const SPEECH_UPLOAD_BYTES_MAX: usize = 25 * 1024 * 1024 - 64 * 1024;
pub const TRANSCRIPT_BYTES_MAX: usize = 1024 * 1024;
/// Sound of one sentence: as long, and as many bytes of an answer.
pub const SYNTHESIZED_MAX: Duration = Duration::from_secs(120);
pub const SPEECH_ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Orders that wait for the thread of kept speech; more are left undone.
pub const SPEECH_CACHE_QUEUE_MAX: usize = 16;
/// Sentences that are remembered to have been said once.
pub const SPEECH_CACHE_RECENT_MAX: usize = 512;
/// A slower card is not waited for.
pub const SPEECH_CACHE_WAIT_MAX: Duration = Duration::from_millis(150);
/// A longer sentence is not kept.
pub const SPEECH_CACHED_BYTES_MAX: usize = 2 * 1024 * 1024;

// Sound.
/// Sound written ahead of the card by one playback; its writer waits.
pub const PLAYBACK_AHEAD_MAX: Duration = Duration::from_secs(1);
/// Sounds that play together; one more is told that the speaker is busy.
pub const PLAYBACKS_MAX: usize = 3;
/// A speaker that nobody used for this long is closed.
pub const SPEAKER_IDLE: Duration = Duration::from_secs(5);
/// An open card that moves no sample for this long counts as unplugged.
pub const CARD_STALL_MAX: Duration = Duration::from_secs(2);
/// Of the sound thread, on which ALSA's plug-ins run, written by others.
pub const SOUND_STACK_BYTES: usize = 1024 * 1024;
/// Events of an open microphone that wait for its owner.
pub const AUDIO_EVENTS_MAX: usize = 8;
/// Turns whose times are kept for whoever looks.
pub const TIMELINES_KEPT: usize = 50;
/// Requests to one endpoint of the conversation that wait for their turn of the loop.
pub const SESSION_QUEUE_MAX: usize = 64;
/// Opening the microphone.
pub const MICROPHONE_OPEN_MAX: Duration = Duration::from_secs(5);
/// The next sentence's sound is asked for when less than this is left to hear.
pub const SPEECH_ASKED_AHEAD: Duration = Duration::from_millis(1_500);
/// Pieces of one sentence's sound that are there and not yet played.
pub const SPEECH_PIECES_AHEAD_MAX: usize = 64;
/// An answer is cut here: no voice reads longer.
pub const SPOKEN_CHARS_MAX: usize = 16 * 1024;
/// Sound sent to a client ahead of what it can have played.
pub const CLIENT_SOUND_AHEAD: Duration = Duration::from_millis(1_000);
/// Callers that wait for the end of a turn of the box's own microphone; beyond it "busy".
pub const TURN_WAITERS_MAX: usize = 16;
/// Text of one `/api/v1/synthesize`; its sound is held whole.
pub const SYNTHESIZE_CHARS_MAX: usize = 2_000;
/// Sound handed in whole is decoded on the loop up to this size, beyond it on a thread.
pub const DECODE_ON_LOOP_BYTES_MAX: usize = 64 * 1024;
/// Sound being decoded at a time; one more is answered 503.
pub const DECODES_MAX: usize = 4;
/// Sound made for `/api/tts` that waits to be fetched; the oldest goes first.
pub const OLDER_SOUND_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Of one answer that is made sound for somebody who fetches it; the rest is only to be read.
pub const REPLY_SOUND_MAX: Duration = Duration::from_secs(120);
/// Sound of answers that waits in memory to be fetched: all of it, and each piece for so long.
pub const REPLY_BYTES_MAX: usize = 8 * 1024 * 1024;
pub const REPLY_LIFE: Duration = Duration::from_secs(600);
/// Sessions that `/api/sessions` lists, and the last messages shown of each.
pub const OLDER_SESSIONS_MAX: usize = 100;
pub const OLDER_SESSION_MESSAGES_MAX: usize = 20;
/// Samples of handed in sound that wait for an engine, all together; one more is answered 503.
pub const DECODED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Streams of compressed sound being decoded at a time, each on a thread; one more is "busy".
pub const STREAM_DECODES_MAX: usize = 16;
/// Bytes pushed into a decoder of a stream and not yet taken by it; more is refused.
pub const DECODE_PUSHED_BYTES_MAX: usize = 1024 * 1024;
/// Samples decoded ahead of whoever takes them; the decoder waits.
pub const DECODED_AHEAD_SAMPLES: usize = 64 * 1024;
/// Packets in a row without any sound; then the file counts as damaged.
pub const DECODE_EMPTY_PACKETS_MAX: u32 = 2_000;
/// Work on one sound, beside half of its length; then it counts as damaged.
pub const DECODE_WORK_MAX: Duration = Duration::from_secs(10);
/// Of a decoder's thread.
pub const DECODE_STACK_BYTES: usize = 1024 * 1024;
/// Sound of a client that waits for the listener; more ends the listening with an error.
pub const CLIENT_SOUND_BUFFERED: Duration = Duration::from_secs(10);
/// Frames of compressed sound of a client that wait for its decoder; more ends the listening.
pub const CLIENT_CODED_FRAMES_MAX: usize = 64;
/// Text of one `/ws` message; close 1009.
pub const VOICE_TEXT_BYTES_MAX: usize = 1024 * 1024;
/// What one `/ws` client may have unread; then close 1013.
pub const VOICE_QUEUE_BYTES_MAX: usize = 2 * 1024 * 1024;
pub const VOICE_QUEUE_MESSAGES_MAX: usize = 4_096;
/// Sound frames wait while a client has more than this unread, so that an interrupt is quick.
pub const VOICE_SOUND_QUEUED_BYTES_MAX: usize = 16 * 1024;
/// An answer's sound that is sent in one piece ends here; its text is whole.
pub const VOICE_WHOLE_SOUND_MAX: Duration = Duration::from_secs(60);
/// Endpoints that are triggered within this are triggered by one voice.
pub const TRIGGER_WINDOW: Duration = Duration::from_millis(300);
/// A lost socket's conversation waits this long for its client.
pub const VOICE_RESUME_MAX: Duration = Duration::from_secs(30);
pub const VOICE_PARKED_MAX: usize = 64;

// Timers.
/// Pending and ringing ones together; 409.
pub const TIMERS_LIVE_MAX: usize = 200;
/// Those that are over; the oldest go first.
pub const TIMERS_OVER_KEPT: usize = 500;
pub const TIMER_LABEL_CHARS_MAX: usize = 200;
pub const TIMER_DURATION_MAX: Duration = Duration::from_secs(366 * 86_400);
/// Between two rounds of a ring.
pub const RING_ROUND: Duration = Duration::from_secs(15);
/// An alarm or timer that nobody stops rings this long, a reminder shorter.
pub const RING_MAX: Duration = Duration::from_secs(300);
pub const RING_REMINDER_MAX: Duration = Duration::from_secs(40);
/// Later than this is missed.
pub const RING_GRACE: Duration = Duration::from_secs(60);
/// A missed one that came due longer ago is listed and does not ring.
pub const RING_MISSED_MAX: Duration = Duration::from_secs(12 * 3_600);
pub const SNOOZE_DEFAULT: Duration = Duration::from_secs(300);
pub const SNOOZE_MAX: Duration = Duration::from_secs(86_400);
/// A wall clock that leapt ahead by more than [`RING_MISSED_MAX`] is believed after this long.
pub const CLOCK_DOUBT: Duration = Duration::from_secs(600);
/// While something is pending the wall clock is looked at this often: it may have been set.
pub const TIMER_LOOK: Duration = Duration::from_secs(1);
/// How often the wall time is noted while something is pending, for a start without a clock.
pub const TIMER_SEEN_INTERVAL: Duration = Duration::from_secs(60);

// Buttons and the programs that are told of them.
/// One run of `EVENT_COMMAND`; then it is killed.
pub const EVENT_COMMAND_MAX: Duration = Duration::from_secs(5);
/// An owner's sound in place of one of the box's own.
pub const EARCON_BYTES_MAX: u64 = 2 * 1024 * 1024;
pub const EARCON_MAX: Duration = Duration::from_secs(10);
/// The box thinks aloud after this, and then again and again.
pub const THINKING_FIRST: Duration = Duration::from_millis(1_500);
pub const THINKING_EACH: Duration = Duration::from_secs(2);

// Satellites.
/// Between two tries to reach the box; doubles.
pub const SATELLITE_RETRY: Duration = Duration::from_secs(1);
pub const SATELLITE_RETRY_MAX: Duration = Duration::from_secs(30);

/// Pieces of voice that wait for the keyword process.
pub const WAKE_PIECES_WAITING_MAX: usize = 256;
/// A keyword process that does not read for so long is started anew.
pub const WAKE_WRITE_MAX: Duration = Duration::from_secs(5);
/// One that ended is started again after this, doubling.
pub const WAKE_RESTART_FIRST: Duration = Duration::from_millis(500);
pub const WAKE_RESTART_MAX: Duration = Duration::from_secs(300);

// Happy sync.
pub const HAPPY_ACCOUNTS_MAX: usize = 1_000;
/// Requests to be let in, waiting and answered together.
pub const HAPPY_PAIRINGS_MAX: usize = 1_000;
/// A request that nobody answers ends.
pub const HAPPY_PAIRING_PENDING: Duration = Duration::from_secs(3_600);
/// An answer waits this long for whoever asked.
pub const HAPPY_PAIRING_ANSWERED: Duration = Duration::from_secs(7 * 86_400);
/// Once its answer was fetched, for an answer that was lost on the way.
pub const HAPPY_PAIRING_FETCHED: Duration = Duration::from_secs(86_400);
/// From one address, without a token. Who waits to be let in asks once a second.
pub const HAPPY_STRANGER_CALLS_PER_MINUTE: u32 = 300;
/// Calls with a token, for each account; a terminal at work makes a few each second.
pub const HAPPY_CALLS_PER_MINUTE: u32 = 6_000;
/// Keys of one account, deleted ones too, and the bytes of keys and values.
pub const HAPPY_KV_KEYS_MAX: usize = 10_000;
pub const HAPPY_KV_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Of one account; the phones not heard of for longest go.
pub const HAPPY_PUSH_TOKENS_MAX: usize = 100;
/// Of one account; the oldest go.
pub const HAPPY_USAGE_REPORTS_MAX: usize = 20_000;
pub const HAPPY_USAGE_REPORT_BYTES_MAX: usize = 2 * 1024;
/// What is added up for one hour or day: tokens and costs, so many names of each.
pub const HAPPY_USAGE_NAMES_MAX: usize = 100;
/// Of one account; the oldest go.
pub const HAPPY_FEED_POSTS_MAX: usize = 1_000;
/// No second post about the same person within it.
pub const HAPPY_NOTIFY_AGAIN: Duration = Duration::from_secs(86_400);
/// Files of attachments that the database knows nothing of, for it may be an older one.
pub const HAPPY_LOST_FILES_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// Tokens of one account that hold; the one not shown for longest goes.
pub const HAPPY_DEVICES_MAX: usize = 500;
/// What a device calls itself.
pub const HAPPY_AGENT_CHARS_MAX: usize = 120;
/// That a device was heard of is written so seldom.
pub const HAPPY_SEEN_AGAIN: Duration = Duration::from_secs(600);
pub const HAPPY_TOKEN_BYTES_MAX: usize = 4_096;
/// What a push carries beside its words; Expo takes no more in all.
pub const HAPPY_PUSH_DATA_BYTES_MAX: usize = 4_096;
/// The terminal waits 15 seconds for what became of a push.
pub const HAPPY_PUSH_WAIT: Duration = Duration::from_secs(8);
/// Of one account.
pub const HAPPY_PUSHES_PER_MINUTE: u32 = 60;
/// The box says no sooner again that Claude waits.
pub const HAPPY_ALOUD_AGAIN: Duration = Duration::from_secs(20);
pub const HAPPY_PUSH_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Receipts that one call asks for.
pub const HAPPY_RECEIPTS_AT_ONCE: usize = 300;
/// Expo knows by then whether a message arrived.
pub const HAPPY_RECEIPT_AFTER: Duration = Duration::from_secs(900);
/// It keeps them no longer.
pub const HAPPY_RECEIPT_LIFE: Duration = Duration::from_secs(86_400);
pub const HAPPY_RECEIPT_LOOK: Duration = Duration::from_secs(60);
pub const HAPPY_INVITES_MAX: usize = 16;
pub const HAPPY_INVITE_LIFE: Duration = Duration::from_secs(900);
/// One post may carry a hundred messages.
pub const HAPPY_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Text in one page of messages, and of one list of sessions, machines or artifacts; what is over
/// comes with the next page, or is left out as too old.
pub const HAPPY_PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A session not heard of for longer is not listed among the active ones.
pub const HAPPY_ACTIVE_WINDOW: Duration = Duration::from_secs(900);
pub const HAPPY_SESSIONS_MAX: usize = 20_000;
pub const HAPPY_MACHINES_MAX: usize = 1_000;
pub const HAPPY_ARTIFACTS_MAX: usize = 5_000;
/// Of one session.
pub const HAPPY_ACCESS_KEYS_MAX: usize = 100;
/// Of one session.
pub const HAPPY_ATTACHMENTS_MAX: usize = 10_000;
pub const HAPPY_ATTACHMENT_BYTES_MAX: usize = 10 * 1024 * 1024;
/// What an attachment weighs beside its bytes.
pub const HAPPY_ATTACHMENT_OVERHEAD: usize = 4_096;
pub const HAPPY_UPLOAD_WINDOW: Duration = Duration::from_secs(60);
/// Of one account: how often it may ask where to send an attachment.
pub const HAPPY_UPLOADS_PER_WINDOW: u32 = 60;
/// Being written to the card at once; more wait.
pub const HAPPY_UPLOADS_AT_ONCE: usize = 4;
pub const HAPPY_UPLOAD_WAIT: Duration = Duration::from_secs(30);
/// What a message weighs beside its content: an empty one takes room too.
pub const HAPPY_MESSAGE_OVERHEAD: usize = 200;
/// Of a session that goes, so many messages in one transaction.
pub const HAPPY_DELETED_AT_ONCE: usize = 5_000;
/// And no more text than that but for the last of them.
pub const HAPPY_DELETED_BYTES_AT_ONCE: i64 = 4 * 1024 * 1024;
/// What the card refused to let go is tried again.
pub const HAPPY_DELETION_LOOK: Duration = Duration::from_secs(3_600);
/// A hundred years.
pub const HAPPY_KEEP_DAYS_MAX: u32 = 36_500;
/// Sessions that are kept no longer are looked for at this pace; each time in so many turns of so
/// many, with a pause after each.
pub const HAPPY_KEEP_LOOK: Duration = Duration::from_secs(3_600);
pub const HAPPY_KEEP_TURNS: u32 = 10;
pub const HAPPY_KEEP_DELETED_AT_ONCE: usize = 10;
pub const HAPPY_KEEP_PAUSE: Duration = Duration::from_secs(30);
/// So far the wall clock may go from the monotonic one and has not jumped.
pub const HAPPY_CLOCK_APART_MAX: Duration = Duration::from_secs(60);
/// It is believed after so long without a jump,
pub const HAPPY_CLOCK_STEADY: Duration = Duration::from_secs(3_600);
/// or so long where it is further than this from where it was believed last.
pub const HAPPY_CLOCK_STEADY_AFTER_GAP: Duration = Duration::from_secs(7 * 86_400);
pub const HAPPY_CLOCK_GAP_MAX: Duration = Duration::from_secs(7 * 86_400);
/// One text that a client stores with a session, a machine or an artifact beside its body: no more
/// comes over a socket.
pub const HAPPY_VALUE_BYTES_MAX: usize = HAPPY_FRAME_BYTES_MAX;
/// A name that a client chose, and a key that is sealed for it.
pub const HAPPY_NAME_BYTES_MAX: usize = 64 * 1024;
/// Of an account that goes, so many sessions in one transaction.
pub const HAPPY_SESSIONS_DELETED_AT_ONCE: usize = 200;
/// Whoever removes an account waits so long for the last of it to go.
pub const HAPPY_REMOVAL_WAIT: Duration = Duration::from_secs(60);
/// Of one account's archive, as it is sent and unpacked; 400, 413.
pub const HAPPY_ARCHIVE_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// Attachments in one.
pub const HAPPY_ARCHIVE_FILES_MAX: usize = 200_000;
/// One row in it: two texts that each came in one call.
pub const HAPPY_ARCHIVE_LINE_BYTES_MAX: usize = 34 * 1024 * 1024;
/// Texts in it that weigh nothing.
pub const HAPPY_ARCHIVE_SMALL_BYTES_MAX: usize = 64 * 1024;
pub const HAPPY_ARCHIVE_MANIFEST_BYTES_MAX: u64 = 64 * 1024;
/// One event of a Happy client: a file that is read from afar comes close to a megabyte.
pub const HAPPY_FRAME_BYTES_MAX: usize = 2 * 1024 * 1024;
/// What may wait for a Happy client that does not read.
pub const HAPPY_QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
pub const HAPPY_QUEUE_EVENTS_MAX: usize = 4_096;
/// Tries at what a client's event writes, while the store is busy.
pub const HAPPY_WRITE_ATTEMPTS: u32 = 300;
pub const HAPPY_WRITE_PAUSE: Duration = Duration::from_millis(100);
/// Methods that one socket answers, and the name of one.
pub const HAPPY_METHODS_MAX: usize = 256;
pub const HAPPY_METHOD_BYTES_MAX: usize = 512;
/// An event that writes counts for one more with each so many bytes, among
/// [`WS_COMMANDS_MAX`] of its socket that may be under way.
pub const HAPPY_EVENT_BYTES_COUNTED: usize = 64 * 1024;
/// What calls of one account hold that wait for a worker.
pub const HAPPY_WAITING_CALLS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Calls of one socket that wait for an answer.
pub const HAPPY_CALLS_MAX: usize = 128;
/// A call waits for its worker to come (back), and then for the worker's answer.
pub const HAPPY_WORKER_GRACE: Duration = Duration::from_secs(15);
pub const HAPPY_CALL_WAIT: Duration = Duration::from_secs(30);
/// A heartbeat made longer ago says nothing.
pub const HAPPY_HEARTBEAT_AGE_MAX: Duration = Duration::from_secs(600);
/// Sessions and machines whose heartbeats are remembered, and for how long without a look.
pub const HAPPY_PRESENT_MAX: usize = 4_096;
pub const HAPPY_KNOWN_LIFE: Duration = Duration::from_secs(30);
/// A row is written when it is further behind, and then with others after this wait.
pub const HAPPY_WRITTEN_BEHIND: Duration = Duration::from_secs(30);
pub const HAPPY_PRESENCE_WAIT: Duration = Duration::from_secs(5);
/// Late heartbeats of a session that ended do not count for so long.
pub const HAPPY_STOPPED_WAIT: Duration = Duration::from_secs(60);
pub const HAPPY_STOPPED_SESSIONS_MAX: usize = 4_096;
/// Whoever is silent for longer is there no more; looked for at this pace, so many at a time.
pub const HAPPY_SILENCE_MAX: Duration = Duration::from_secs(600);
pub const HAPPY_SILENCE_LOOK: Duration = Duration::from_secs(60);
pub const HAPPY_SILENT_ENDED_MAX: usize = 500;

// One update of a device.
pub const UPDATE_MANIFEST_BYTES_MAX: usize = 64 * 1024;
pub const UPDATE_BOARDS_MAX: usize = 16;
pub const UPDATE_BOARD_CHARS_MAX: usize = 32;
/// Of one part, unpacked; the slot it goes to is the nearer bound.
pub const UPDATE_PART_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Read, unpacked and written at once.
pub const UPDATE_PIECE_BYTES: usize = 256 * 1024;
/// Written before the card is waited for, so that little memory waits for a slow card.
pub const UPDATE_SYNC_EVERY: u64 = 8 * 1024 * 1024;
pub const UPDATE_KEYS_MAX: usize = 16;
pub const UPDATE_KEY_FILE_BYTES_MAX: usize = 4 * 1024;
/// Notes about an update, the kernel's command line, the list of mounts.
pub const UPDATE_NOTE_BYTES_MAX: u64 = 64 * 1024;
pub const UPDATE_REDIRECTS_MAX: usize = 5;
/// A release over a slow line.
pub const UPDATE_FETCH_TOTAL: Duration = Duration::from_secs(4 * 3600);
pub const UPDATE_FETCH_IDLE: Duration = Duration::from_secs(60);
/// A new version that is healthy for so long without a break stays.
pub const TRIAL_HEALTHY: Duration = Duration::from_secs(60);
/// One that has not managed that by then goes.
pub const TRIAL_TOTAL: Duration = Duration::from_secs(480);
pub const TRIAL_LOOK: Duration = Duration::from_secs(2);
// The appliance.

/// `magpie.txt`; a longer one is refused as a whole.
pub const MAGPIE_TXT_BYTES_MAX: usize = 64 * 1024;
pub const MAGPIE_TXT_LINES_MAX: usize = 1_000;
/// What the appliance keeps of itself.
pub const MAGPIE_KEPT_BYTES_MAX: usize = 512 * 1024;
/// Of `magpie-status.txt`, always: it is overwritten in place.
pub const MAGPIE_STATUS_BYTES: usize = 4_096;
/// Of `hat.txt` in a boot partition, always.
pub const HAT_BYTES: usize = 512;
/// Of a boot partition's top folder, that are looked through.
pub const BOOT_FOLDER_CLUSTERS_MAX: usize = 256;

/// The set-up page: how long it is open at most, and how long a cable, a radio, the radio's address
/// and a network that is tried are waited for.
pub const SET_UP_OPEN: Duration = Duration::from_secs(15 * 60);
pub const SET_UP_CABLE_WAIT: Duration = Duration::from_secs(10);
pub const SET_UP_RADIO_WAIT: Duration = Duration::from_secs(60);
pub const SET_UP_ADDRESS_WAIT: Duration = Duration::from_secs(30);
pub const SET_UP_JOIN_MAX: Duration = Duration::from_secs(45);
pub const SET_UP_LINGER: Duration = Duration::from_secs(3);
/// How often the box says its code.
pub const SET_UP_TELL_EVERY: Duration = Duration::from_secs(120);
/// A program that works the radio, and what it may print.
pub const SET_UP_PROGRAM_MAX: Duration = Duration::from_secs(20);
pub const SET_UP_PRINTED_BYTES_MAX: u64 = 512 * 1024;
/// Networks that are looked at, and listed.
pub const SET_UP_SEEN_MAX: usize = 500;
pub const SET_UP_SHOWN_MAX: usize = 40;
/// tiny_http reads no more than this by itself.
pub const SET_UP_BODY_BYTES_MAX: usize = 1_024;
pub const SET_UP_FORMS_A_MINUTE: usize = 12;
/// Then there is a new code.
pub const SET_UP_WRONG_CODES_MAX: u32 = 5;
pub const SET_UP_QUESTION_BYTES_MAX: usize = 512;
