//! What the policy document means, subject by subject: each sentence of the documentation of levels as a test.

mod conditions;
mod levels;
mod loopholes;
mod notes;
mod own_files;
mod owners;
mod published;
mod require_tls;
mod rules;
mod servers;
mod support;
mod testing;
mod until;
