//! Message content on the wire: taking the dots out, putting them in, and refusing what smuggles.
//!
//! ```text
//!   DATA     "..hidden" CRLF "." CRLF          a dot that begins a line is doubled; a lone dot ends the message
//!   BDAT n   exactly n octets, as they are
//! ```

mod decode;
mod encode;

use std::sync::LazyLock;

use memchr::memmem::Finder;

pub use self::decode::{BodyCheck, BodyFault, DataScanner, Scan};
pub use self::encode::{BodyTransfer, DataEncoder};

/// Finds a dot at the start of a line. Made once: making it costs as much as searching a kilobyte.
static DOT_LINE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n."));
