//! What the relay learns of a message while its body streams through, and the field that it takes out.

use sealpost_policy::FieldName;

/// Takes one field out of the header section of a body that streams through, keeps the first value of it, counts Received
/// fields, looks at TLS-Required, and notes octets beyond ASCII in what is left.
///
/// The pieces may be cut anywhere: that never changes what comes out. Lines are read as `sealpost_policy::HeaderBlock` reads
/// them: white space, and a fold, may stand before the colon; a line that is no field is kept and ends nothing, because
/// readers differ on it; only an empty line ends the section. Behind it nothing is looked at but for octets beyond ASCII.
///
/// # Limits
/// [`VALUE_OCTETS`] of the value are kept. A line that starts with the name and more than [`HEAD_OCTETS`] of white space is
/// taken out, whatever follows. Beside these, memory is bounded by the size of one piece.
#[derive(Debug)]
pub(crate) struct HeaderFilter {
    level_name: FieldName,
    state: State,
    level: FieldMatch,
    received: FieldMatch,
    required: FieldMatch,
    /// The field that is being read is the first TLS-Required.
    in_required: bool,
    /// The field that is being read is taken out.
    dropping: bool,
    /// Octets of the field that is being read, as long as it may turn out to be the one to take out.
    head: usize,
    /// Of these, what earlier pieces ended with.
    held: Vec<u8>,
    /// What is left of a piece before the part that is handed on as it is.
    kept: Vec<u8>,
    value: Option<Vec<u8>>,
    value_ended: bool,
    received_fields: usize,
    required_fields: usize,
    required_value: Vec<u8>,
    non_ascii: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    LineStart,
    /// Behind a CR that starts a line: an LF makes it the empty line.
    LineStartCr,
    /// In a field whose name is not settled.
    Name,
    /// In a line that decides nothing any more.
    Line,
    Body,
}

/// Whether the field that is being read has a name.
#[derive(Debug)]
struct FieldMatch {
    matched: usize,
    found: Option<bool>,
}

/// What is not handed on yet of the piece that is being read.
struct Piece<'b> {
    octets: &'b [u8],
    /// Where the part starts that is handed on as it is.
    from: usize,
    /// Where the field starts; 0 if it started in an earlier piece.
    field: usize,
}

impl HeaderFilter {
    /// A filter that takes out the field of this name.
    pub(crate) fn new(level_name: FieldName) -> Self {
        Self {
            level_name,
            state: State::LineStart,
            level: FieldMatch::NONE,
            received: FieldMatch::NONE,
            required: FieldMatch::NONE,
            in_required: false,
            dropping: false,
            head: 0,
            held: Vec::new(),
            kept: Vec::new(),
            value: None,
            value_ended: false,
            received_fields: 0,
            required_fields: 0,
            required_value: Vec::new(),
            non_ascii: false,
        }
    }

    /// Takes the next piece and gives what is left, in two parts: the second, nearly always all of it, is a part of the piece.
    pub(crate) fn push<'b>(&'b mut self, piece: &'b [u8]) -> [&'b [u8]; 2] {
        self.kept.clear();
        let mut piece = Piece { octets: piece, from: 0, field: 0 };
        let mut at = 0;
        while self.state != State::Body
            && let Some(&byte) = piece.octets.get(at)
        {
            at += self.step(byte, at, &mut piece);
        }
        let mut to = piece.octets.len();
        if self.dropping {
            to = piece.from;
        } else if self.level.found.is_none() {
            to = piece.field;
            self.held.extend_from_slice(piece.part(piece.field, piece.octets.len()));
        }
        let rest = piece.part(piece.from, to);
        self.non_ascii = self.non_ascii || !self.kept.is_ascii() || !rest.is_ascii();
        [&self.kept, rest]
    }

    /// What is left over at the end of the message: a line that was the field's name and nothing else.
    pub(crate) fn finish(&mut self) -> &[u8] {
        self.kept.clear();
        self.kept.append(&mut self.held);
        &self.kept
    }

    /// How often the message was relayed, by its Received fields (RFC 5321 section 6.3).
    pub(crate) fn received_fields(&self) -> usize {
        self.received_fields
    }

    /// Whether there is a single TLS-Required field, and it says `No` (RFC 8689 section 3).
    pub(crate) fn says_tls_is_optional(&self) -> bool {
        let is_whole = self.required_value.len() < REQUIRED_OCTETS;
        self.required_fields == 1 && is_whole && self.required_value.trim_ascii().eq_ignore_ascii_case(b"no")
    }

    /// Whether no octet of what is left lies beyond ASCII.
    pub(crate) fn is_ascii(&self) -> bool {
        !self.non_ascii
    }

    /// The value of the first field that was taken out: unfolded, without the white space around it, and cut at
    /// [`VALUE_OCTETS`].
    pub(crate) fn first_level(&self) -> Option<String> {
        let value = String::from_utf8_lossy(self.value.as_deref()?);
        let mut end = VALUE_OCTETS.min(value.len());
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        Some(value.get(..end).unwrap_or_default().trim_end_matches([' ', '\t']).to_owned())
    }

    /// Takes the octet `byte` at `at`, or more from there on, and says how many.
    fn step(&mut self, byte: u8, at: usize, piece: &mut Piece<'_>) -> usize {
        match self.state {
            State::LineStart if matches!(byte, b' ' | b'\t') => {
                // A fold: the field goes on.
                self.state = self.inside();
                0
            }
            State::LineStart => {
                self.end_field(at, piece);
                match byte {
                    b'\n' => self.state = State::Body,
                    b'\r' => self.state = State::LineStartCr,
                    _ => {
                        self.begin_field(at, piece);
                        return 0;
                    }
                }
                1
            }
            State::LineStartCr => {
                self.state = if byte == b'\n' { State::Body } else { State::Line };
                usize::from(byte == b'\n')
            }
            State::Name => {
                self.name(byte, piece);
                self.state = if byte == b'\n' { State::LineStart } else { self.inside() };
                1
            }
            State::Line => {
                let rest = piece.part(at, piece.octets.len());
                let end = rest.iter().position(|&b| b == b'\n');
                let taken = end.map_or(rest.len(), |end| end + 1);
                if self.dropping && !self.value_ended {
                    self.keep_value(piece.part(at, at + taken));
                }
                if self.in_required {
                    let room = REQUIRED_OCTETS.saturating_sub(self.required_value.len());
                    let value = piece.part(at, at + taken).iter().filter(|byte| !matches!(byte, b'\r' | b'\n'));
                    let is_padding = self.required_value.is_empty();
                    let value = value.skip_while(|byte| is_padding && matches!(byte, b' ' | b'\t'));
                    self.required_value.extend(value.take(room));
                }
                if end.is_some() {
                    self.state = State::LineStart;
                }
                taken
            }
            State::Body => 0,
        }
    }

    fn inside(&self) -> State {
        let is_settled = |field: &FieldMatch| field.found.is_some();
        if [&self.level, &self.received, &self.required].into_iter().all(is_settled) { State::Line } else { State::Name }
    }

    fn begin_field(&mut self, at: usize, piece: &mut Piece<'_>) {
        piece.field = at;
        self.head = 0;
        self.level = FieldMatch::OPEN;
        self.received = FieldMatch::OPEN;
        self.required = FieldMatch::OPEN;
        self.state = State::Name;
    }

    /// An octet of a field whose name is not settled.
    fn name(&mut self, byte: u8, piece: &mut Piece<'_>) {
        if self.received.step(byte, RECEIVED) {
            self.received_fields += usize::from(self.received.found == Some(true));
        }
        if self.required.step(byte, TLS_REQUIRED) && self.required.found == Some(true) {
            self.required_fields += 1;
            self.in_required = self.required_fields == 1;
        }
        self.head += 1;
        let settled = self.level.step(byte, self.level_name.as_str().as_bytes());
        if self.level.found.is_none() && self.head > HEAD_OCTETS {
            self.level.found = Some(true);
        } else if !settled {
            return;
        }
        if self.level.found == Some(true) {
            self.kept.extend_from_slice(piece.part(piece.from, piece.field));
            piece.from = piece.octets.len();
            self.held.clear();
            self.dropping = true;
            self.value.get_or_insert_default();
        } else {
            self.kept.append(&mut self.held);
        }
    }

    /// The field that was being read, if any, ended before `at`.
    fn end_field(&mut self, at: usize, piece: &mut Piece<'_>) {
        if self.dropping {
            piece.from = at;
            self.value_ended = true;
        }
        self.dropping = false;
        self.kept.append(&mut self.held);
        self.level = FieldMatch::NONE;
        self.received = FieldMatch::NONE;
        self.required = FieldMatch::NONE;
        self.in_required = false;
    }

    fn keep_value(&mut self, part: &[u8]) {
        let Some(value) = &mut self.value else { return };
        for &byte in part {
            let is_padding = matches!(byte, b' ' | b'\t') && value.is_empty();
            if value.len() < VALUE_OCTETS && !is_padding && !matches!(byte, b'\r' | b'\n') {
                value.push(byte);
            }
        }
    }
}

impl FieldMatch {
    /// Outside of a field nothing has the name.
    const NONE: Self = Self { matched: 0, found: Some(false) };

    /// At the start of a field nothing is settled.
    const OPEN: Self = Self { matched: 0, found: None };

    /// Whether this octet settles it.
    fn step(&mut self, byte: u8, name: &[u8]) -> bool {
        if self.found.is_some() {
            return false;
        }
        match name.get(self.matched) {
            Some(expected) if expected.eq_ignore_ascii_case(&byte) => self.matched += 1,
            Some(_) => self.found = Some(false),
            None if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') => {}
            None => self.found = Some(byte == b':'),
        }
        self.found.is_some()
    }
}

impl<'b> Piece<'b> {
    fn part(&self, from: usize, to: usize) -> &'b [u8] {
        self.octets.get(from..to).unwrap_or_default()
    }
}

const RECEIVED: &[u8] = b"received";
const TLS_REQUIRED: &[u8] = b"tls-required";

/// Octets that are kept of the value of TLS-Required: more than `No` with white space behind it is not what RFC 8689 writes.
const REQUIRED_OCTETS: usize = 64;

/// Octets that are kept of a value; the longest that means something has seven.
pub(crate) const VALUE_OCTETS: usize = 256;

/// Octets of a field, its name included, within which the colon is waited for.
const HEAD_OCTETS: usize = 1024;

#[cfg(test)]
mod tests;
