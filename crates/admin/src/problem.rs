//! What a request is answered with that cannot be done.

use std::fmt;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use sealpost_policy::PolicyErrors;
use sealpost_queue::SpoolError;
use sealpost_relay::policy_file::PolicyFileError;
use sealpost_relay::{ReloadError, StartError};
use sealpost_types::WithCauses;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::queue::BadQueueId;

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct Problem {
    /// What is wrong.
    pub error: String,
    /// Where: `policy.toml:12:8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// What else is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub also: Vec<Self>,
}

/// A problem with the status that HTTP has for it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    problem: Problem,
}

impl Problem {
    pub(crate) fn new(error: impl Into<String>) -> Self {
        Self { error: error.into(), place: None, remedy: None, also: Vec::new() }
    }

    fn of_policy(errors: &PolicyErrors) -> Self {
        let mut problems = errors.iter().map(|error| Self {
            error: error.problem.to_string(),
            place: Some(format!("{}:{}:{}", error.file, error.line, error.column)),
            remedy: Some(error.problem.remedy()),
            also: Vec::new(),
        });
        let first = problems.next().unwrap_or_else(|| Self::new("the policy is wrong"));
        Self { also: problems.collect(), ..first }
    }
}

impl Failure {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, problem: Problem::new(error) }
    }

    /// The same with what would be right.
    pub(crate) fn meant(mut self, remedy: impl Into<String>) -> Self {
        self.problem.remedy = Some(remedy.into());
        self
    }
}

impl From<PolicyFileError> for Failure {
    fn from(error: PolicyFileError) -> Self {
        if let PolicyFileError::Policy(errors) = &error {
            return Self { status: StatusCode::UNPROCESSABLE_ENTITY, problem: Problem::of_policy(errors) };
        }
        let status = match error {
            PolicyFileError::NoFile | PolicyFileError::Guarded { .. } | PolicyFileError::ChangedOnDisk { .. } => StatusCode::CONFLICT,
            PolicyFileError::ListGone { .. } | PolicyFileError::Emptied { .. } => StatusCode::CONFLICT,
            PolicyFileError::Edit { .. } | PolicyFileError::NeedsDnssec { .. } | PolicyFileError::NoList { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            PolicyFileError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, WithCauses(&error).to_string())
    }
}

impl From<BadQueueId> for Failure {
    fn from(error: BadQueueId) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<ReloadError> for Failure {
    fn from(error: ReloadError) -> Self {
        match error {
            ReloadError::Policy(error) => error.into(),
            ReloadError::Config(StartError::Config(error)) => {
                let mut problems = error.problems.into_iter().map(|problem| Problem {
                    error: problem.message,
                    place: Some(format!("{}:{}:{}", problem.file, problem.line, problem.column)),
                    remedy: None,
                    also: Vec::new(),
                });
                let first = problems.next().unwrap_or_else(|| Problem::new("sealpost.toml is wrong"));
                Self { status: StatusCode::UNPROCESSABLE_ENTITY, problem: Problem { also: problems.collect(), ..first } }
            }
            other => Self::new(StatusCode::INTERNAL_SERVER_ERROR, WithCauses(&other).to_string()),
        }
    }
}

impl From<SpoolError> for Failure {
    fn from(error: SpoolError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(self.problem)).into_response()
    }
}

/// `policy.toml:12:8: what is wrong; what would be right`, and a line for each thing more.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.error)?;
        if let Some(remedy) = &self.remedy {
            write!(f, "; {remedy}")?;
        }
        self.also.iter().try_for_each(|problem| write!(f, "\n{problem}"))
    }
}
