//! The paths, and what each does.

use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Extension, Path, Query as Parameters, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::{Json, Router};
use sealpost_policy::PolicyText as Text;
use sealpost_relay::RelayControl;
use sealpost_relay::policy_file::PolicyFileError;
use sealpost_types::WithCauses;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::connection::Peer;
use crate::entries::{Entries, Kind, Query, search_partners};
use crate::model::{Change, EditRequest, PolicyText, ReloadRequest, RowRequest, Status};
use crate::problem::{Failure, Problem};

/// The OpenAPI document of everything that can be asked, as it is checked in.
#[must_use]
pub fn openapi() -> String {
    let mut text = routes().into_openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Everything that can be asked, for whoever may ask it.
pub(crate) fn router(control: RelayControl) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .route("/v1/openapi.json", axum::routing::get(document))
        .fallback(|| async {
            Failure::new(StatusCode::NOT_FOUND, "there is nothing at this path").meant("GET /v1/openapi.json lists what there is")
        })
        .method_not_allowed_fallback(|| async { Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method") })
        .layer(DefaultBodyLimit::disable())
        .with_state(control)
}

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Sealpost",
    description = "Management of a running relay.\n\nOver the unix socket everything may be asked by whoever may open it. Over TCP the \
        token of `[admin] token` has to be shown as `Authorization: Bearer ...`; where no token is configured, only GET is \
        answered, on loopback."
))]
struct Document;

fn routes() -> OpenApiRouter<RelayControl> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(status))
        .routes(routes!(reload))
        .routes(routes!(policy))
        .routes(routes!(edit))
        .routes(routes!(rows))
        .routes(routes!(entries))
}

async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi())
}

/// How the relay is.
#[utoipa::path(get, path = "/v1/status", responses((status = 200, body = Status), (status = 500, body = Problem)))]
async fn status(State(control): State<RelayControl>) -> Result<Json<Status>, Failure> {
    Ok(Json(Status::of(&control.status().await?)))
}

/// Read the policy's file again.
///
/// A policy that is wrong, or that takes out more than 5 % of the entries without `force`, is refused, and the one in force stays.
/// What is stricter reaches mail that waits at once; what is weaker does not let go mail that was deferred for TLS without
/// `apply_to_queue`.
#[utoipa::path(post, path = "/v1/reload", request_body = ReloadRequest, responses(
    (status = 200, body = Change),
    (status = 400, description = "The request cannot be read.", body = Problem),
    (status = 409, description = "Too much would go, or there is no file.", body = Problem),
    (status = 422, description = "The policy is wrong.", body = Problem),
    (status = 500, description = "A file cannot be read or written.", body = Problem),
))]
async fn reload(State(control): State<RelayControl>, Extension(peer): Extension<Peer>, body: Bytes) -> Result<Json<Change>, Failure> {
    let request: ReloadRequest = if body.is_empty() { ReloadRequest::default() } else { read(&body)? };
    Ok(Json(control.by(peer.to_string()).reload(request.into()).await?.into()))
}

/// The policy in force, as it is written.
#[utoipa::path(get, path = "/v1/policy", responses(
    (status = 200, body = PolicyText),
    (status = 409, description = "There is no file: the policy is the built-in one.", body = Problem),
))]
async fn policy(State(control): State<RelayControl>) -> Result<Json<PolicyText>, Failure> {
    let (file, text) = control.policy_text().ok_or(PolicyFileError::NoFile)?;
    Ok(Json(PolicyText { file: file.display().to_string(), text: text.as_ref().to_owned() }))
}

/// Which entries are asked for.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// A part of a name or of a domain, a pattern with `*` or `?`, or a domain that is covered.
    search: Option<String>,
    /// So many are passed over.
    #[serde(default)]
    offset: usize,
    /// At most so many are given, 100 by default.
    limit: Option<usize>,
}

/// The entries of the policy in force.
#[utoipa::path(get, path = "/v1/entries/{kind}", params(("kind" = Kind, Path, description = "The kind of entry."), Wanted), responses(
    (status = 200, body = Entries),
    (status = 400, description = "There is no such kind or parameter.", body = Problem),
    (status = 409, description = "There is no file: the policy is the built-in one.", body = Problem),
))]
async fn entries(
    State(control): State<RelayControl>,
    kind: Result<Path<Kind>, PathRejection>,
    wanted: Result<Parameters<Wanted>, QueryRejection>,
) -> Result<Json<Entries>, Failure> {
    let bad = |error: String| Failure::new(StatusCode::BAD_REQUEST, error);
    let Path(kind) = kind.map_err(|error| bad(error.body_text()))?;
    let Parameters(wanted) = wanted.map_err(|error| bad(error.body_text()))?;
    let (file, text) = control.policy_text().ok_or(PolicyFileError::NoFile)?;
    let search = move || {
        let internal =
            |error: &(dyn std::error::Error + 'static)| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, WithCauses(error).to_string());
        let text = Text::parse(&file.display().to_string(), &text).map_err(|error| internal(&error))?;
        let query = wanted.search.as_deref().map(Query::new);
        let (query, offset, limit) = (query.as_ref(), wanted.offset, wanted.limit.unwrap_or(ENTRIES));
        match kind {
            Kind::Partner => search_partners(&file, &text, query, offset, limit).map_err(|error| internal(&error)),
            _ => Ok(kind.search(&text, query, offset, limit)),
        }
    };
    tokio::task::spawn_blocking(search).await.map_err(|_| PolicyFileError::Stopping)?.map(Json)
}

/// Change the policy's file, and obey it from now on.
///
/// Comments, order and quotes of the rest stay. It is refused where `/v1/reload` would refuse the result.
#[utoipa::path(post, path = "/v1/policy/edits", request_body = EditRequest, responses(
    (status = 200, body = Change),
    (status = 400, description = "The request cannot be read.", body = Problem),
    (status = 409, description = "Too much would go, the file was changed by somebody else, or there is none.", body = Problem),
    (status = 422, description = "An edit cannot be made, or the policy would be wrong.", body = Problem),
    (status = 500, description = "The file cannot be read or written.", body = Problem),
))]
async fn edit(State(control): State<RelayControl>, Extension(peer): Extension<Peer>, body: Bytes) -> Result<Json<Change>, Failure> {
    let request: EditRequest = read(&body)?;
    let options = request.options();
    Ok(Json(control.by(peer.to_string()).edit(request.edits, options).await?.into()))
}

/// Change one row of an included list, and obey it from now on.
///
/// It takes the time of copying the list: the rest of the policy is not read again. A row whose domain stands in a list already
/// is taken, and `also` says where the other is; one whose domain is hosted is refused.
#[utoipa::path(post, path = "/v1/policy/rows", request_body = RowRequest, responses(
    (status = 200, body = Change),
    (status = 400, description = "The request cannot be read, or does not name one change.", body = Problem),
    (status = 409, description = "Too much would go, the list was changed by somebody else, or there is no file.", body = Problem),
    (status = 422, description = "There is no such list or row, or the row is wrong.", body = Problem),
    (status = 500, description = "The list cannot be read or written.", body = Problem),
))]
async fn rows(State(control): State<RelayControl>, Extension(peer): Extension<Peer>, body: Bytes) -> Result<Json<Change>, Failure> {
    let request: RowRequest = read(&body)?;
    let options = request.options();
    let (list, change) = request
        .into_change()
        .ok_or_else(|| Failure::new(StatusCode::BAD_REQUEST, "the request does not name one change").meant("write either add or remove"))?;
    Ok(Json(control.by(peer.to_string()).edit_row(list, change, options).await?.into()))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::new(StatusCode::BAD_REQUEST, format!("the request cannot be read: {error}")))
}

/// Entries that are given where nobody says how many.
const ENTRIES: usize = 100;

/// Octets in a request: a million entries at once.
pub const REQUEST_OCTETS: usize = 256 << 20;
