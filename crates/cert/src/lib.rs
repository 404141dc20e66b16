//! Verdicts on certificate chains, and the details of a certificate.
