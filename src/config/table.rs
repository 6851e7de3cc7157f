//! The table: every setting declared once, in the order in which people meet them.

use super::kind::Kind;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    pub name: &'static str,
    pub group: &'static str,
    pub kind: Kind,
    /// Empty: not set.
    pub default: &'static str,
    /// One line for `.env.example` and the README.
    pub help: &'static str,
    /// Older names that mean the same.
    pub aliases: &'static [&'static str],
    /// Never shown, never logged.
    pub secret: bool,
    /// Takes effect on SIGHUP; others want a restart.
    pub reloads: bool,
}

impl Setting {
    const fn new(
        group: &'static str,
        name: &'static str,
        kind: Kind,
        default: &'static str,
        help: &'static str,
    ) -> Setting {
        Setting {
            name,
            group,
            kind,
            default,
            help,
            aliases: &[],
            secret: false,
            reloads: false,
        }
    }

    const fn alias(mut self, aliases: &'static [&'static str]) -> Setting {
        self.aliases = aliases;
        self
    }

    const fn secret(mut self) -> Setting {
        self.secret = true;
        self
    }

    const fn reloads(mut self) -> Setting {
        self.reloads = true;
        self
    }

    /// What hears, answers and speaks is chosen by it.
    pub fn is_of_providers(&'static self) -> bool {
        [SPEECH, MODEL].contains(&self.group)
    }

    /// Its name, then the older ones.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    pub fn is_named(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }
}

const DOOR: &str = "Network";
const ACCESS: &str = "Who may call";
const DATA: &str = "Data";
const SPEECH: &str = "Speech";
const SOUND: &str = "Sound";
const PANEL: &str = "Buttons and lamp";
const TALK: &str = "Conversation";
const MODEL: &str = "Language model";
const LOGS: &str = "Logs";

/// All of them.
pub static SETTINGS: &[Setting] = &[
    Setting::new(DOOR, "PORT", Kind::Port, "8080", "Port of plain HTTP; 0 picks a free one, off closes it.").alias(&["SERVER_PORT"]),
    Setting::new(DOOR, "HTTPS_PORT", Kind::Port, "8443", "Port of HTTPS, which browsers want before they give a page the microphone; off closes it."),
    Setting::new(DOOR, "HOST", Kind::Address, "0.0.0.0", "Address that both ports listen on; 127.0.0.1 keeps the box to this machine."),
    Setting::new(DOOR, "OPS_LISTEN", Kind::Listen, "127.0.0.1:9090", "Where /live, /ready and /metrics answer for monitoring; off closes it."),
    Setting::new(DOOR, "HOSTNAME_LABEL", Kind::HostLabel, "magpie", "Name of the box: it answers to NAME and NAME.local."),
    Setting::new(DOOR, "TLS_CERT_FILE", Kind::Path, "", "PEM certificate chain to use instead of the box's own; wants TLS_KEY_FILE."),
    Setting::new(DOOR, "TLS_KEY_FILE", Kind::Path, "", "PEM private key of TLS_CERT_FILE."),
    Setting::new(DOOR, "WEB_DIR", Kind::Path, "", "Folder with a page of your own to serve in place of the built-in one."),
    Setting::new(DOOR, "ALLOWED_ORIGINS", Kind::Origins, "", "Sites whose pages may call the box from a browser.").reloads(),
    Setting::new(DOOR, "TRUST_PROXY", Kind::Networks, "", "Reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.").reloads(),
    Setting::new(DOOR, "RATE_LIMIT", Kind::Int(0, 1_000_000), "60", "Calls a minute for each client; 0 for no limit."),
    Setting::new(DOOR, "MAX_UPLOAD_SIZE", Kind::Size(1024, 1 << 30), "10MB", "Largest recording that may be sent."),
    Setting::new(DOOR, "PROXY_URL", Kind::Proxy, "", "Proxy for calls to the internet.").secret(),
    Setting::new(DOOR, "NO_PROXY", Kind::Hosts, "", "Hosts that are called without the proxy; those of this machine always are."),
    Setting::new(DOOR, "EXTRA_CA_FILE", Kind::Path, "", "PEM certificates of further authorities that calls out trust, for servers of one's own."),
    Setting::new(ACCESS, "VOICE_AUTH", Kind::OneOf(&["lan", "strict", "off"]), "lan", "lan: this machine is trusted and others show a token; strict: everybody shows a token; off: nobody is asked."),
    Setting::new(ACCESS, "HAPPY_REGISTRATION", Kind::OneOf(&["off", "closed", "invite", "open"]), "off", "Happy sync: off: not there; closed: known keys; invite: one new key for each invite; open: any key."),
    Setting::new(ACCESS, "HAPPY_PUSH", Kind::OneOf(&["off", "expo", "ntfy"]), "off", "How Happy tells phones what Claude waits for: off: not at all; expo: the app's own service, which reads title and text; ntfy: the topic in HAPPY_PUSH_URL."),
    Setting::new(ACCESS, "HAPPY_PUSH_URL", Kind::Url, "", "Where pushes go: for ntfy the topic, such as https://ntfy.sh/topic, which all who know it read; not set for expo: Expo's own servers.").secret(),
    Setting::new(ACCESS, "HAPPY_ALOUD", Kind::OneOf(&["off", "en", "zh"]), "off", "Whether the box says aloud that Claude asks for a permission or has a question, in English or Chinese; never what it asks."),
    Setting::new(ACCESS, "HAPPY_ACCOUNT_MB", Kind::Int(1, 100_000_000), "8192", "What each account of Happy may store, in MB; the owner may say otherwise for one of them."),
    Setting::new(ACCESS, "HAPPY_KEEP_DAYS", Kind::Int(0, 36_500), "0", "Happy sessions that are inactive and were not used for so many days are deleted, with all they hold; 0: never."),
    Setting::new(DATA, "DATA_DIR", Kind::Path, "data", "Folder of everything the box keeps."),
    Setting::new(DATA, "DATABASE_PATH", Kind::Path, "", "The database file; not set: voice-memory.db in DATA_DIR."),
    Setting::new(DATA, "BACKUP_DIR", Kind::Path, "", "Folder of backups, best on another card or disk; not set: backups in DATA_DIR."),
    Setting::new(DATA, "BACKUP_COPY_DIR", Kind::Path, "", "Folder on another disk, such as a mounted share, where each backup is copied as well; one on the same disk is refused."),
    Setting::new(DATA, "BACKUP_KEEP_DAYS", Kind::Int(0, 36_500), "30", "Days that backups are kept; one is made each night at two. 0 makes and removes none by itself."),
    Setting::new(DATA, "AUDIO_KEEP_DAYS", Kind::Int(0, 36_500), "7", "Days that recordings are kept once they are understood; 0 removes each as soon as its text is stored.").reloads(),
    Setting::new(DATA, "QUEUE_MAX_MB", Kind::Int(1, 1_048_576), "512", "Sound in MB that may wait to be understood; beyond it new recordings are refused.").reloads(),
    Setting::new(DATA, "QUEUE_MAX_DAYS", Kind::Int(1, 3_650), "30", "Days that one recording or job may wait for its network before it is given up.").reloads(),
    Setting::new(DATA, "QUEUE_SPACING", Kind::Int(0, 3_600), "5", "Seconds between two jobs while what had to wait is worked off.").reloads(),
    Setting::new(SPEECH, "STT_PROVIDER", Kind::Chain(&["auto", "none", "openai", "command", "whisper.cpp", "pocketsphinx"]), "auto", "What understands speech; auto takes the server whose key or address is set, then the best program that is installed.").reloads(),
    Setting::new(SPEECH, "STT_COMMAND", Kind::Text, "", "Own recogniser: a command line with {wav}, and {language} or {model} if it wants them; it prints the text.").reloads(),
    Setting::new(SPEECH, "STT_MODEL", Kind::Text, "", "Model file of a recogniser that needs one (whisper.cpp), or the server's name of a model; not set: whisper-1.").reloads(),
    Setting::new(SPEECH, "STT_BASE_URL", Kind::Url, "", "A server that speaks OpenAI's audio/transcriptions, such as http://10.0.0.2:8000/v1; it may want no key.").reloads(),
    Setting::new(SPEECH, "STT_LANGUAGE", Kind::OneOf(&["auto", "en", "zh"]), "auto", "Language that is spoken.").reloads(),
    Setting::new(SPEECH, "TTS_PROVIDER", Kind::Chain(&["auto", "none", "openai", "command", "piper", "flite", "espeak-ng"]), "auto", "What speaks; auto takes the server whose key or address is set, then the best program that is installed.").reloads(),
    Setting::new(SPEECH, "TTS_COMMAND", Kind::Text, "", "Own voice: a command line with {text_file} and {out}, and {voice} or {model} if it wants them; it writes a WAV file.").reloads(),
    Setting::new(SPEECH, "TTS_MODEL", Kind::Text, "", "Model file of a voice that needs one (piper), or the server's name of a model; not set: tts-1.").reloads(),
    Setting::new(SPEECH, "TTS_BASE_URL", Kind::Url, "", "A server that speaks OpenAI's audio/speech; it may want no key.").reloads(),
    Setting::new(SPEECH, "TTS_FORMAT", Kind::OneOf(&["mp3", "wav", "flac", "pcm"]), "mp3", "What a server is asked to send speech as; mp3 is the least, wav the quickest.").reloads(),
    Setting::new(SPEECH, "TTS_CACHE_MB", Kind::Int(0, 10_000), "32", "Room for sentences that are said again and again, kept as sound; 0 keeps none.").reloads(),
    Setting::new(SPEECH, "TTS_VOICE", Kind::Text, "", "The engine's name of a voice, such as nova for OpenAI, slt for flite or en-gb for espeak-ng.").reloads(),
    Setting::new(SOUND, "AUDIO_INPUT", Kind::Text, "default", "Microphone: an ALSA name from `magpie devices`; off for none."),
    Setting::new(SOUND, "AUDIO_OUTPUT", Kind::Text, "default", "Speaker: an ALSA name from `magpie devices`; off for none."),
    Setting::new(SOUND, "AUDIO_PERIOD_MS", Kind::Int(5, 100), "20", "How much sound the card hands over at a time; larger is safer on a slow board."),
    Setting::new(SOUND, "AUDIO_AEC", Kind::OneOf(&["on", "off"]), "off", "on: the card takes the box's own voice out of what its microphone hears, so that speaking into an answer ends it.").reloads(),
    Setting::new(SOUND, "WAKE", Kind::OneOf(&["off", "command"]), "off", "command: the microphone stays open and WAKE_PHRASE begins a turn, or ends an answer; wants pocketsphinx."),
    Setting::new(SOUND, "WAKE_PHRASE", Kind::Text, "hey magpie", "What wakes the box: English words of pocketsphinx's dictionary, three syllables or more."),
    Setting::new(SOUND, "VOLUME", Kind::Int(0, 100), "80", "Loudness in per cent.").reloads(),
    Setting::new(SOUND, "END_SILENCE_MS", Kind::Int(300, 2_000), "700", "Silence that ends what somebody says."),
    Setting::new(SOUND, "EARCON_DIR", Kind::Path, "", "Folder of own sounds: listen.wav, done.wav, thinking.wav, error.wav, mute.wav, unmute.wav, offline.wav, saved.wav, timer.wav."),
    Setting::new(PANEL, "GPIO_CHIP", Kind::Path, "/dev/gpiochip0", "The chip of the lines below; a box without it has no buttons."),
    Setting::new(PANEL, "GPIO_BUTTON", Kind::Line, "17", "Line of the button, which connects to ground; off for none."),
    Setting::new(PANEL, "GPIO_MUTE_IN", Kind::Line, "off", "Line of a switch that mutes while it connects to ground; it wins over everything else."),
    Setting::new(PANEL, "GPIO_LED", Kind::Line, "off", "Line of a lamp of one colour."),
    Setting::new(PANEL, "GPIO_LED_R", Kind::Line, "off", "Line of the red lamp; with GPIO_LED_G and GPIO_LED_B in place of GPIO_LED."),
    Setting::new(PANEL, "GPIO_LED_G", Kind::Line, "off", "Line of the green lamp."),
    Setting::new(PANEL, "GPIO_LED_B", Kind::Line, "off", "Line of the blue lamp."),
    Setting::new(PANEL, "EVENT_COMMAND", Kind::Text, "", "A command that gets each event of the box as JSON on its standard input; it has 5 seconds."),
    Setting::new(TALK, "FOLLOW_UP", Kind::OneOf(&["on", "off"]), "off", "on: the box listens again when its answer ends in a question."),
    Setting::new(TALK, "CONVERSATION_IDLE", Kind::Duration(10, 86_400), "10m", "After this long without a word a new conversation begins."),
    Setting::new(TALK, "AUTO_MEMORY", Kind::OneOf(&["on", "ask", "off"]), "on", "Whether a language model organises what is kept and files what is worth keeping of a conversation; ask: it proposes the latter and a person decides; off: only what a person asks for."),
    Setting::new(TALK, "SUMMARY_AT", Kind::TimeOfDay, "off", "When the day is summed up, such as 21:30; off: only when somebody asks."),
    Setting::new(TALK, "EMBED_PROVIDER", Kind::OneOf(&["off", "openai"]), "off", "Search memories by meaning too, through a server that speaks OpenAI's embeddings; it is sent the text of memories, never one that holds a secret."),
    Setting::new(TALK, "EMBED_BASE_URL", Kind::Url, "https://api.openai.com/v1", "That server, such as http://10.0.0.2:11434/v1; OPENAI_API_KEY is its key, if it wants one."),
    Setting::new(TALK, "EMBED_MODEL", Kind::Text, "text-embedding-3-small", "Its name of a model; with another one all memories are looked at anew."),
    Setting::new(TALK, "TZ", Kind::TimeZone, "", "Time zone of answers about date and time; not set: that of the machine."),
    Setting::new(MODEL, "CLAUDE_API_KEY", Kind::Text, "", "Anthropic key: Claude answers what no rule does.").secret().reloads(),
    Setting::new(MODEL, "OPENAI_API_KEY", Kind::Text, "", "OpenAI key, also for servers that speak its protocol.").secret().reloads(),
    Setting::new(MODEL, "LLM_PROVIDER", Kind::Chain(&["auto", "none", "anthropic", "openai"]), "auto", "Which language model answers; auto takes the one whose key is set, Anthropic first; none leaves it to the rules.").reloads(),
    Setting::new(MODEL, "LLM_MODEL", Kind::Text, "", "The provider's name of a model; not set: claude-haiku-4-5 or gpt-4o-mini.").reloads(),
    Setting::new(MODEL, "LLM_MAX_TOKENS", Kind::Int(16, 100_000), "1024", "Longest answer, in tokens.").reloads(),
    Setting::new(MODEL, "ANTHROPIC_BASE_URL", Kind::Url, "", "Where the Messages API is; not set: https://api.anthropic.com.").reloads(),
    Setting::new(MODEL, "LLM_BASE_URL", Kind::Url, "", "A server that speaks OpenAI's chat completions, such as http://10.0.0.2:11434/v1; it may want no key.").alias(&["OPENAI_BASE_URL"]).reloads(),
    Setting::new(MODEL, "SYSTEM_PROMPT_FILE", Kind::Path, "", "A text that tells the model who it is, in place of the built-in one.").reloads(),
    Setting::new(MODEL, "PROMPT_TOKENS", Kind::Int(2_500, 200_000), "4000", "Most that a model is shown for one answer, in tokens.").reloads(),
    Setting::new(MODEL, "RECALL_TOKENS", Kind::Int(0, 100_000), "800", "Most of it that memories take.").reloads(),
    Setting::new(LOGS, "LOG_LEVEL", Kind::OneOf(&["debug", "info", "warn", "error"]), "info", "How much is logged; never what people say.").reloads(),
    Setting::new(LOGS, "LOG_FORMAT", Kind::OneOf(&["text", "json"]), "text", "Lines for people, or JSON lines for programs.").reloads(),
    Setting::new(LOGS, "LOG_FILE", Kind::Path, "", "Log file, rotated by itself; not set: standard error.").reloads(),
];

/// The setting of a name or alias.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.is_named(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_name_is_declared_once_and_every_default_is_allowed() {
        let mut names = HashSet::new();
        for setting in SETTINGS {
            for name in std::iter::once(&setting.name).chain(setting.aliases) {
                assert!(names.insert(*name), "{name} is declared twice");
                assert!(
                    name.chars().all(|c| c.is_ascii_uppercase() || c == '_'),
                    "{name}"
                );
            }
            if !setting.default.is_empty() {
                let value = setting.kind.parse(setting.default);
                assert!(value.is_some(), "default of {}", setting.name);
            }
            assert!(setting.help.ends_with('.'), "help of {}", setting.name);
        }
    }

    #[test]
    fn groups_stand_together() {
        let mut groups: Vec<&str> = SETTINGS.iter().map(|setting| setting.group).collect();
        groups.dedup();
        let distinct: HashSet<&str> = groups.iter().copied().collect();
        assert_eq!(groups.len(), distinct.len(), "{groups:?}");
    }
}
