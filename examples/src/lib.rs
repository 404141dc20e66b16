//! One short program per library of Sealpost.
