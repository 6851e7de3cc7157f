//! Cuts streaming text into sentences that can be spoken while the rest is still to come.
//!
//! Pure and incremental: every character is looked at once, in order, so that it makes no
//! difference in which pieces the text arrives. Nothing is lost and nothing said twice; what
//! cannot be spoken (code, tables, addresses, pictures) becomes a few words or silence.

mod speakable;

pub use speakable::speakable;

/// The first piece may end at a comma from this many Chinese characters or
const FIRST_CJK_CHARS_MIN: usize = 8;
/// this many others on: the sooner it is cut, the sooner the first sound.
const FIRST_CHARS_MIN: usize = 24;
/// Later sentences that are shorter are spoken together with the next.
const CHARS_MIN: usize = 20;
const CHARS_MAX: usize = 200;

/// Stands for a block of code in the text to be spoken.
const CODE_MARK: char = '\u{E000}';
/// Stands for a table.
const TABLE_MARK: char = '\u{E001}';

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// From 0.
    pub index: usize,
    /// What is to be spoken.
    pub text: String,
    /// Characters of the source up to the end of this sentence.
    pub source_chars: usize,
}

pub struct Cutter {
    raw: String,
    raw_chars: usize,
    raw_cjk: usize,
    /// Byte position after the last comma or short sentence in `raw`.
    last_pause: usize,
    /// Byte position after the last white space in `raw`.
    last_space: usize,
    pending: Option<End>,
    block: Block,
    /// Start of a line whose kind is not yet known: spaces and up to three back quotes.
    head: Option<String>,
    source_chars: usize,
    emitted: usize,
    chinese: bool,
}

/// A mark that may end a sentence, depending on what follows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// 。！？ and the like: ends it whatever follows.
    Full,
    /// `!` or `?`: ends it before white space or Chinese.
    Ascii,
    /// `.`: as `Ascii`, unless it belongs to an abbreviation, a number or an initial.
    Dot,
    /// A comma or colon, which ends only a first piece.
    Comma,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Prose,
    Table,
    /// In code; how much of a closing line has been seen.
    Code {
        quotes: u8,
        line_start: bool,
    },
    /// Behind the closing back quotes, up to the line's end.
    CodeClosing,
}

impl Default for Cutter {
    fn default() -> Cutter {
        Cutter {
            raw: String::new(),
            raw_chars: 0,
            raw_cjk: 0,
            last_pause: 0,
            last_space: 0,
            pending: None,
            block: Block::Prose,
            head: Some(String::new()),
            source_chars: 0,
            emitted: 0,
            chinese: false,
        }
    }
}

impl Cutter {
    /// Takes the next piece and appends the sentences that are complete.
    pub fn push(&mut self, piece: &str, sentences: &mut Vec<Sentence>) {
        for c in piece.chars() {
            match self.block {
                Block::Prose | Block::Table => self.line(c, sentences),
                Block::Code { quotes, line_start } => self.code(c, quotes, line_start),
                Block::CodeClosing => {
                    if c == '\n' {
                        self.begin_line();
                        self.boundary(sentences);
                    }
                }
            }
            self.source_chars += 1;
        }
    }

    /// The rest; the cutter is as new afterwards but goes on counting.
    pub fn finish(&mut self) -> Option<Sentence> {
        if let Some(head) = self.head.take() {
            self.add_all(&head);
        }
        self.block = Block::Prose;
        let rest = self.emit();
        self.begin_line();
        rest
    }

    /// Prose and tables, with the start of a line held back until its kind is known.
    fn line(&mut self, c: char, sentences: &mut Vec<Sentence>) {
        let Some(mut head) = self.head.take() else {
            return self.rest_of_line(c, sentences);
        };
        match c {
            ' ' if !head.contains('`') => {
                head.push(c);
                self.head = Some(head);
            }
            '`' => {
                head.push(c);
                if head.ends_with("```") {
                    self.mark(CODE_MARK, sentences);
                    self.block = Block::Code {
                        quotes: 0,
                        line_start: false,
                    };
                } else {
                    self.head = Some(head);
                }
            }
            '|' if !head.contains('`') => {
                if self.block != Block::Table {
                    self.mark(TABLE_MARK, sentences);
                }
                self.block = Block::Table;
            }
            _ => {
                self.block = Block::Prose;
                for held in head.chars() {
                    self.prose(held, sentences);
                }
                self.prose(c, sentences);
                if c == '\n' {
                    self.begin_line();
                }
            }
        }
    }

    fn rest_of_line(&mut self, c: char, sentences: &mut Vec<Sentence>) {
        if self.block == Block::Table {
            if c == '\n' {
                self.head = Some(String::new());
            }
            return;
        }
        self.prose(c, sentences);
        if c == '\n' {
            self.begin_line();
        }
    }

    fn code(&mut self, c: char, quotes: u8, line_start: bool) {
        self.block = match c {
            '\n' => Block::Code {
                quotes: 0,
                line_start: true,
            },
            '`' if line_start && quotes == 2 => Block::CodeClosing,
            '`' if line_start => Block::Code {
                quotes: quotes + 1,
                line_start,
            },
            ' ' if line_start && quotes == 0 => self.block,
            _ => Block::Code {
                quotes: 0,
                line_start: false,
            },
        };
    }

    fn begin_line(&mut self) {
        self.block = Block::Prose;
        self.head = Some(String::new());
    }

    /// Puts a stand-in for a block into the text.
    fn mark(&mut self, mark: char, sentences: &mut Vec<Sentence>) {
        self.boundary(sentences);
        self.add(mark);
        self.pending = Some(End::Full);
    }

    fn prose(&mut self, c: char, sentences: &mut Vec<Sentence>) {
        if let Some(end) = self.pending
            && !(closes(c) || (is_end(c) && end != End::Comma))
        {
            self.pending = None;
            if self.ends(end, c) {
                self.pause(end, sentences);
            }
        }
        self.add(c);
        match c {
            '\n' => self.boundary(sentences),
            '。' | '！' | '？' | '；' | '…' => self.pending = Some(End::Full),
            '!' | '?' => self.pending = Some(self.stronger(End::Ascii)),
            '.' => self.pending = Some(self.stronger(End::Dot)),
            '，' | '：' | '、' => self.pause(End::Comma, sentences),
            ',' | ':' | ';' => self.pending = Some(End::Comma),
            c if c.is_whitespace() => self.last_space = self.raw.len(),
            _ => {}
        }
        if self.raw_chars >= CHARS_MAX {
            self.cut_long(sentences);
        }
    }

    /// `?.` stays the stronger of the two.
    fn stronger(&self, end: End) -> End {
        match self.pending {
            Some(End::Full) => End::Full,
            Some(End::Ascii) => End::Ascii,
            _ => end,
        }
    }

    fn ends(&self, end: End, next: char) -> bool {
        let apart = next.is_whitespace() || super::providers::is_cjk(next);
        match end {
            End::Full => true,
            End::Ascii => apart,
            End::Comma => next.is_whitespace(),
            End::Dot => apart && !belongs_to_word(&self.raw),
        }
    }

    /// A place where the voice may stop; a sentence when it is long enough.
    fn pause(&mut self, end: End, sentences: &mut Vec<Sentence>) {
        let first = self.emitted == 0;
        let others = self.raw_chars - self.raw_cjk;
        let enough = match end {
            End::Comma => {
                first && (self.raw_cjk >= FIRST_CJK_CHARS_MIN || others >= FIRST_CHARS_MIN)
            }
            _ => first || self.raw_chars >= CHARS_MIN,
        };
        if enough {
            sentences.extend(self.emit());
        } else {
            self.last_pause = self.raw.len();
        }
    }

    fn boundary(&mut self, sentences: &mut Vec<Sentence>) {
        self.pending = None;
        self.pause(End::Full, sentences);
    }

    /// No pause came in time: cut at the last comma, else between words, else here.
    fn cut_long(&mut self, sentences: &mut Vec<Sentence>) {
        let at = [self.last_pause, self.last_space]
            .into_iter()
            .find(|at| self.raw[..*at].chars().count() >= CHARS_MIN)
            .unwrap_or(self.raw.len());
        let rest = self.raw.split_off(at);
        let rest_chars = rest.chars().count();
        let sentence = self.emit_up_to(rest_chars);
        sentences.extend(sentence);
        self.add_all(&rest);
    }

    fn emit(&mut self) -> Option<Sentence> {
        self.emit_up_to(0)
    }

    /// What lies in `raw` as a sentence; `rest_chars` characters of the source are behind it.
    fn emit_up_to(&mut self, rest_chars: usize) -> Option<Sentence> {
        let raw = std::mem::take(&mut self.raw);
        (self.raw_chars, self.raw_cjk) = (0, 0);
        (self.last_pause, self.last_space) = (0, 0);
        if let Some(c) = raw.chars().find(|c| c.is_alphanumeric()) {
            self.chinese =
                super::providers::is_cjk(c) || super::providers::language_of(&raw) == "zh";
        }
        let text = speakable(&raw, self.chinese);
        if !text.chars().any(char::is_alphanumeric) {
            return None;
        }
        self.emitted += 1;
        Some(Sentence {
            index: self.emitted - 1,
            text,
            source_chars: self
                .source_chars
                .saturating_sub(rest_chars.saturating_sub(1)),
        })
    }

    fn add(&mut self, c: char) {
        self.raw.push(c);
        self.raw_chars += 1;
        self.raw_cjk += usize::from(super::providers::is_cjk(c));
    }

    fn add_all(&mut self, text: &str) {
        for c in text.chars() {
            self.add(c);
        }
    }
}

fn is_end(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '；' | '…' | '!' | '?' | '.')
}

/// Marks that belong to the sentence they close.
fn closes(c: char) -> bool {
    matches!(
        c,
        '"' | '\'' | ')' | ']' | '*' | '_' | '`' | '”' | '’' | '」' | '』' | '）' | '】' | '》'
    )
}

/// Whether the `.` at the end of `text` is part of its last word.
fn belongs_to_word(text: &str) -> bool {
    const ABBREVIATIONS: [&str; 22] = [
        "mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "etc", "e.g", "i.e", "approx",
        "dept", "fig", "vol", "inc", "ltd", "co", "a.m", "p.m", "u.s",
    ];
    let Some(text) = text.strip_suffix('.') else {
        return false;
    };
    let word = text
        .rsplit(|c: char| c.is_whitespace() || matches!(c, '(' | '"' | '“' | '*'))
        .next()
        .unwrap_or_default();
    let lower = word.to_lowercase();
    let initial =
        word.chars().count() == 1 && word.chars().all(|c| c.is_ascii_uppercase() && c != 'I');
    let before = text[..text.len() - word.len()].trim_end_matches([' ', '\t']);
    let numbers_a_list = !word.is_empty()
        && word.len() <= 3
        && word.bytes().all(|b| b.is_ascii_digit())
        && (before.is_empty() || before.ends_with('\n'));
    initial || numbers_a_list || ABBREVIATIONS.contains(&lower.as_str())
}

#[cfg(test)]
mod tests;
