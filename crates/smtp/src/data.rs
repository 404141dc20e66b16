//! Message content on the wire: taking the dots out, putting them in, and refusing what smuggles.
//!
//! ```text
//!   DATA     "..hidden" CRLF "." CRLF          a dot that begins a line is doubled; a lone dot ends the message
//!   BDAT n   exactly n octets, as they are
//! ```

mod decode;
mod encode;

pub use self::decode::{BodyCheck, BodyFault, DataScanner, Scan};
pub use self::encode::{BodyTransfer, DataEncoder};
