//! The paths, and what each does.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query as Parameters, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::{Extension, Json, Router};
use http_body_util::channel::Channel;
use sealpost_policy::PolicyText as Text;
use sealpost_relay::RelayControl;
use sealpost_relay::policy_file::PolicyFileError;
use sealpost_report::Event;
use sealpost_types::{Domain, WithCauses};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::connection::Peer;
use crate::entries::{Entries, Kind, Query, search_partners};
use crate::follow::{self, Stopping};
use crate::history::{HistoryEntry, HistoryPage, HistoryQuery, HistoryQueryError};
use crate::model::{Change, EditRequest, PolicyText, ReloadRequest, RowRequest, Status};
use crate::problem::{Failure, Problem};
use crate::queue::{QueueFilter, QueuePage, QueueRequest, QueueResult, QueueShown, QueueState, queue_id};
use crate::sts::{StsEntry, StsPage, StsQuery};

/// The OpenAPI document of everything that can be asked, as it is checked in.
#[must_use]
pub fn openapi() -> String {
    let mut text = routes().into_openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Everything that can be asked, for whoever may ask it.
pub(crate) fn router(control: RelayControl, stop: watch::Receiver<bool>) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .route("/v1/openapi.json", axum::routing::get(document))
        .fallback(|| async {
            Failure::new(StatusCode::NOT_FOUND, "there is nothing at this path").meant("GET /v1/openapi.json lists what there is")
        })
        .method_not_allowed_fallback(|| async { Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method") })
        .layer(DefaultBodyLimit::disable())
        .layer(Extension(Stopping(stop)))
        .with_state(control)
}

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Sealpost",
    description = "Management of a running relay.\n\nOver the unix socket everything may be asked by whoever may open it. Over TCP the \
        token of `[admin] token` has to be shown as `Authorization: Bearer ...`; where no token is configured, only GET is \
        answered, on loopback, and neither for the history nor for the queue nor for the MTA-STS policies of others."
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
        .routes(routes!(queue))
        .routes(routes!(queue_entry))
        .routes(routes!(queue_changes))
        .routes(routes!(sts))
        .routes(routes!(sts_policy, forget_sts_policy))
        .routes(routes!(history))
        .routes(routes!(follow_history))
}

async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi())
}

/// How the relay is.
#[utoipa::path(get, path = "/v1/status", responses((status = 200, body = Status), (status = 500, body = Problem)))]
async fn status(State(control): State<RelayControl>) -> Result<Json<Status>, Failure> {
    Ok(Json(Status::of(&control.status().await?)))
}

/// Read the policy's file again, and with it `sealpost.toml` and the certificates.
///
/// A policy that is wrong, or that takes out more than 5 % of the entries without `force`, is refused, and the one in force stays.
/// What is stricter reaches mail that waits at once; what is weaker does not let go mail that was deferred for TLS without
/// `apply_to_queue`.
#[utoipa::path(post, path = "/v1/reload", request_body = ReloadRequest, responses(
    (status = 200, body = Change),
    (status = 400, description = "The request cannot be read.", body = Problem),
    (status = 409, description = "Too much would go, or there is no file.", body = Problem),
    (status = 422, description = "The policy, or sealpost.toml, is wrong.", body = Problem),
    (status = 500, description = "A file cannot be read or written.", body = Problem),
))]
async fn reload(State(control): State<RelayControl>, Extension(peer): Extension<Peer>, body: Bytes) -> Result<Json<Change>, Failure> {
    let request: ReloadRequest = if body.is_empty() { ReloadRequest::default() } else { read(&body)? };
    Ok(Json(Change::of_reload(control.by(peer.to_string()).reload_all(request.into()).await?, control.policy().entries())))
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
    /// At most so many are given, 100 by default, 1000 at the most.
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
        let (query, offset, limit) = (query.as_ref(), wanted.offset, wanted.limit.unwrap_or(ENTRIES).min(MOST_ENTRIES));
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

/// Change rows of an included list, and obey it from now on.
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
    let (list, change) = request.into_change().ok_or_else(|| {
        Failure::new(StatusCode::BAD_REQUEST, "the request does not name one change").meant("write one of add, set and remove")
    })?;
    Ok(Json(control.by(peer.to_string()).edit_row(list, change, options).await?.into()))
}

/// Which part of the queue is asked for.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WantedQueue {
    /// Those that stand so.
    state: Option<QueueState>,
    /// Those that go there: `mx:bank.example`, or `mail.acme.example:25` for a route.
    destination: Option<String>,
    /// Those from this address; empty for notifications.
    sender: Option<String>,
    /// Those with these words in the reason that they wait for.
    reason: Option<String>,
    /// Those that came in before: milliseconds since 1970.
    before: Option<i64>,
    /// The `next` of the page before.
    after: Option<String>,
    /// At most so many entries, 100 by default.
    limit: Option<usize>,
}

/// The queue, page by page, oldest first.
#[utoipa::path(get, path = "/v1/queue", params(WantedQueue), responses(
    (status = 200, body = QueuePage),
    (status = 400, description = "A parameter cannot be read.", body = Problem),
    (status = 500, description = "The queue cannot be read.", body = Problem),
))]
async fn queue(
    State(control): State<RelayControl>,
    filter: Result<Parameters<WantedQueue>, QueryRejection>,
) -> Result<Json<QueuePage>, Failure> {
    let Parameters(wanted) = filter.map_err(|error| Failure::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let WantedQueue { state, destination, sender, reason, before, after, limit } = wanted;
    let limit = limit.unwrap_or(ENTRIES).clamp(1, MOST_ENTRIES);
    let mut filter = QueueFilter { state, destination, sender, reason, before }.to_filter();
    filter.after = after.as_deref().map(queue_id).transpose()?;
    let listed = control.list_queue(filter, limit).await?;
    Ok(Json(QueuePage::of(&listed, limit)))
}

/// All of one message that is queued, or one entry of it, with what would hold if it were tried now.
#[utoipa::path(get, path = "/v1/queue/{id}", params(("id" = String, Path, description = "The id of a message or of an entry.")), responses(
    (status = 200, body = Vec<QueueShown>),
    (status = 400, description = "That is no id.", body = Problem),
    (status = 404, description = "Nothing in the queue has this id.", body = Problem),
    (status = 500, description = "The queue cannot be read.", body = Problem),
))]
async fn queue_entry(State(control): State<RelayControl>, Path(id): Path<String>) -> Result<Json<Vec<QueueShown>>, Failure> {
    let wanted = sealpost_queue::Filter::all().message(queue_id(&id)?);
    let listed = control.list_queue(wanted, MOST_ENTRIES).await?;
    if listed.is_empty() {
        return Err(Failure::new(StatusCode::NOT_FOUND, format!("nothing in the queue has the id {id}")));
    }
    Ok(Json(listed.iter().map(|listed| QueueShown::of(listed, &control.outlook(listed))).collect()))
}

/// Try queued mail at once, hold it, let it go, or delete it.
///
/// What is being tried is left alone and counted.
#[utoipa::path(post, path = "/v1/queue/changes", request_body = QueueRequest, responses(
    (status = 200, body = QueueResult),
    (status = 400, description = "The request cannot be read, or does not say which mail is meant.", body = Problem),
    (status = 500, description = "The queue cannot be read or written.", body = Problem),
))]
async fn queue_changes(State(control): State<RelayControl>, body: Bytes) -> Result<Json<QueueResult>, Failure> {
    let request: QueueRequest = read(&body)?;
    let selection = request.selection()?.ok_or_else(|| {
        Failure::new(StatusCode::BAD_REQUEST, "the request does not say which mail is meant")
            .meant("write \"all\": true, or \"ids\", or \"matching\" with at least one field")
    })?;
    Ok(Json(control.change_queue(selection, request.action.into()).await?.into()))
}

/// The MTA-STS policies of recipient domains that are kept, page by page, by domain.
#[utoipa::path(get, path = "/v1/mta-sts", params(StsQuery), responses(
    (status = 200, body = StsPage),
    (status = 400, description = "A parameter cannot be read.", body = Problem),
    (status = 409, description = "The relay uses no MTA-STS.", body = Problem),
))]
async fn sts(State(control): State<RelayControl>, query: Result<Parameters<StsQuery>, QueryRejection>) -> Result<Json<StsPage>, Failure> {
    let bad = |error: String| Failure::new(StatusCode::BAD_REQUEST, error);
    let Parameters(query) = query.map_err(|error| bad(error.body_text()))?;
    let kept = control.sts_policies().ok_or_else(without_sts)?;
    StsPage::of(&kept, &query).map(Json).map_err(bad)
}

/// The MTA-STS policy of one recipient domain that is kept.
#[utoipa::path(get, path = "/v1/mta-sts/{domain}", params(("domain" = String, Path, description = "The recipient domain.")), responses(
    (status = 200, body = StsEntry),
    (status = 400, description = "That is no domain.", body = Problem),
    (status = 404, description = "No policy of this domain is kept.", body = Problem),
    (status = 409, description = "The relay uses no MTA-STS.", body = Problem),
))]
async fn sts_policy(State(control): State<RelayControl>, Path(domain): Path<String>) -> Result<Json<StsEntry>, Failure> {
    let domain = sts_domain(&domain)?;
    let kept = control.sts_policies().ok_or_else(without_sts)?;
    let found = kept.iter().find(|kept| kept.domain == domain).ok_or_else(|| not_kept(&domain))?;
    Ok(Json(StsEntry::of(found)))
}

/// Forget the MTA-STS policy of a domain; the answer is what it was.
///
/// Until another one is had, mail for the domain goes as if it published none: one of mode `enforce` is weakened by it. The next
/// mail looks for it anew. The history tells of it.
#[utoipa::path(delete, path = "/v1/mta-sts/{domain}", params(("domain" = String, Path, description = "The recipient domain.")), responses(
    (status = 200, body = StsEntry),
    (status = 400, description = "That is no domain.", body = Problem),
    (status = 404, description = "No policy of this domain is kept.", body = Problem),
    (status = 409, description = "The relay uses no MTA-STS.", body = Problem),
    (status = 500, description = "The file of the policies cannot be written.", body = Problem),
))]
async fn forget_sts_policy(
    State(control): State<RelayControl>,
    Extension(peer): Extension<Peer>,
    Path(domain): Path<String>,
) -> Result<Json<StsEntry>, Failure> {
    let domain = sts_domain(&domain)?;
    control.sts_policies().ok_or_else(without_sts)?;
    let forgotten = control.by(peer.to_string()).forget_sts_policy(&domain).await;
    let forgotten = forgotten.map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, WithCauses(&error).to_string()))?;
    forgotten.as_ref().map(StsEntry::of).map(Json).ok_or_else(|| not_kept(&domain))
}

fn sts_domain(text: &str) -> Result<Domain, Failure> {
    Domain::parse(text).map_err(|error| Failure::new(StatusCode::BAD_REQUEST, format!("{text:?} is no domain: {error}")))
}

fn without_sts() -> Failure {
    Failure::new(StatusCode::CONFLICT, "the relay uses no MTA-STS").meant("[mta_sts] enabled = true in sealpost.toml")
}

fn not_kept(domain: &Domain) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, format!("no MTA-STS policy of {domain} is kept"))
}

/// What became of each message.
///
/// Over TCP the token is needed: who wrote to whom is nobody else's business.
#[utoipa::path(get, path = "/v1/history", params(HistoryQuery), responses(
    (status = 200, body = HistoryPage),
    (status = 400, description = "A parameter cannot be read.", body = Problem),
    (status = 409, description = "The relay keeps no history.", body = Problem),
    (status = 500, description = "The history cannot be read.", body = Problem),
))]
async fn history(
    State(control): State<RelayControl>,
    query: Result<Parameters<HistoryQuery>, QueryRejection>,
) -> Result<Json<HistoryPage>, Failure> {
    let Parameters(query) = query.map_err(|error| Failure::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let filter = query.filter(control.now()).map_err(bad_query)?;
    let found = control.history(&filter).await.ok_or_else(|| Failure::new(StatusCode::CONFLICT, "the relay keeps no history"))?;
    let found = found.map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, WithCauses(&error).to_string()))?;
    Ok(Json(query.page(&filter, &found.rows).map_err(bad_query)?.lacking(&found.unreadable)))
}

/// What happens from now on, one entry a line.
///
/// Each line is an entry as `/v1/history` gives them, without a cursor; a line `{"missed": 5}` says that so many could not be sent
/// in time; an empty line, now and then, that nothing happened. The page of `limit`, `after` and `oldest_first` has no say here.
#[utoipa::path(get, path = "/v1/history/follow", params(HistoryQuery), responses(
    (status = 200, description = "Lines of JSON, without end.", body = HistoryEntry, content_type = "application/x-ndjson"),
    (status = 400, description = "A parameter cannot be read.", body = Problem),
))]
async fn follow_history(
    State(control): State<RelayControl>,
    Extension(Stopping(stop)): Extension<Stopping>,
    query: Result<Parameters<HistoryQuery>, QueryRejection>,
) -> Result<impl IntoResponse, Failure> {
    let Parameters(query) = query.map_err(|error| Failure::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let filter = query.filter(control.now()).map_err(bad_query)?;
    let style = query.style().map_err(bad_query)?;
    let line = move |event: &Event| filter.matches(event).then(|| query.entry(None, event, style));
    let (sender, body) = Channel::<Bytes, Infallible>::new(FOLLOWED_LINES);
    tokio::spawn(follow::lines(control.events(), stop, sender, line));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::new(body)))
}

fn bad_query(error: HistoryQueryError) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, error.to_string())
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::new(StatusCode::BAD_REQUEST, format!("the request cannot be read: {error}")))
}

/// Entries that are given where nobody says how many.
const ENTRIES: usize = 100;

/// Entries of the policy or of the queue in one answer at most.
const MOST_ENTRIES: usize = 1000;

/// Lines that a follower may be behind before it misses some.
const FOLLOWED_LINES: usize = 64;

/// Octets in a request: a million entries at once.
pub const REQUEST_OCTETS: usize = 256 << 20;
