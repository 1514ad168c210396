//! The description of the API as OpenAPI 3.1, made from the types and texts of the calls.

use serde_json::{Value, json};
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HeaderBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder,
    Ref, RefOr, Required, Response, ResponseBuilder, Schema,
};
use utoipa::{PartialSchema as _, ToSchema};

use crate::api::calls::{COMMON_FAULTS, Call};
use crate::for_each_call;

const ABOUT: &str = "Lets an IVR that a company already owns reset forgotten passwords with Passline.

A session is one caller: `Login`, `UserIVRList` with the digits of an ID, `UserQuestionsGet`, `UserAnswersValidate` until it
says `passed`; then `PasswordRandomGet` until one pleases and `UserPasswordSync`, or `UserAccountList` and
`UserAccountsUnlock`; `Logout` at the end, also when the caller hangs up.

Passline enforces the order, tells nobody which answer was wrong, and treats people who do not exist like others. Every call
answers within two seconds. Send a request again with the same `idempotencyKey` when its answer was lost.";

/// The description.
#[must_use]
pub fn document() -> OpenApi {
    let mut paths = PathsBuilder::new();
    let mut components = ComponentsBuilder::new()
        .schema("Problem", problem_schema())
        .schema("FlatMap", flat_schema())
        .security_scheme(
            "session",
            SecurityScheme::Http({
                let mut http = Http::new(HttpAuthScheme::Bearer);
                http.description = Some("The `sessionId` that Login gave.".to_owned());
                http
            }),
        );
    macro_rules! describe {
        ($call:ty) => {
            paths = paths.path(
                super::path_of::<$call>(),
                PathItem::new(HttpMethod::Post, operation::<$call>()),
            );
            components = components.schemas_from_iter(schemas::<$call>());
        };
    }
    for_each_call!(describe);
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Passline")
                .version("1")
                .description(Some(ABOUT))
                .build(),
        )
        .paths(paths)
        .components(Some(components.build()))
        .build()
}

/// The description as a file.
#[must_use]
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).expect("a description can always be written");
    text.push('\n');
    text
}

/// The description, to be walked: as text, and as it was made, since in the text members stand in the order of the alphabet.
pub(in crate::api) struct Description {
    value: Value,
    openapi: OpenApi,
}

impl Description {
    /// That of the code.
    pub(in crate::api) fn of_code() -> Self {
        let openapi = document();
        Self {
            value: serde_json::to_value(&openapi).unwrap_or_default(),
            openapi,
        }
    }

    /// Every schema by its name.
    pub(in crate::api) fn schemas(&self) -> impl Iterator<Item = (&str, &Value)> {
        let all = self.value["components"]["schemas"].as_object().into_iter().flatten();
        all.map(|(name, schema)| (name.as_str(), schema))
    }

    /// One schema.
    pub(in crate::api) fn schema(&self, name: &str) -> &Value {
        &self.value["components"]["schemas"][name]
    }

    /// The members of an object, in the order in which they are declared.
    pub(in crate::api) fn members(&self, name: &str) -> Vec<&str> {
        let components = self.openapi.components.as_ref();
        match components.and_then(|components| components.schemas.get(name)) {
            Some(RefOr::T(Schema::Object(object))) => object.properties.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

impl std::ops::Index<&str> for Description {
    type Output = Value;

    fn index(&self, key: &str) -> &Value {
        &self.value[key]
    }
}

/// What a member is, also where that stands beside a reference that may be null.
pub(in crate::api) fn about(property: &Value) -> &str {
    let choices = property["oneOf"].as_array().into_iter().flatten();
    let mut all = std::iter::once(property).chain(choices);
    all.find_map(|one| one["description"].as_str()).unwrap_or_default()
}

/// The name that a schema refers to.
pub(in crate::api) fn reference_of(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

fn operation<C: Call>() -> OperationBuilder {
    let flat = ParameterBuilder::new()
        .name("flat")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("Gives the response, or the fault, as one flat map of strings."))
        .schema(Some(ObjectBuilder::new().schema_type(Type::Boolean)));
    let body = RequestBodyBuilder::new()
        .content(
            "application/json",
            ContentBuilder::new().schema(Some(reference::<C::Request>())).build(),
        )
        .required(Some(Required::True))
        .build();
    let answer = OneOfBuilder::new()
        .item(reference::<C::Response>())
        .item(Ref::from_schema_name("FlatMap"));
    let done = ResponseBuilder::new().description("Carried out.").content(
        "application/json",
        ContentBuilder::new().schema(Some(any_of(answer.build()))).build(),
    );
    let mut operation = OperationBuilder::new()
        .operation_id(Some(C::NAME))
        .summary(Some(C::SUMMARY))
        .description(Some(C::DESCRIPTION))
        .parameter(flat)
        .request_body(Some(body))
        .response("200", done.build());
    let mut statuses: Vec<u16> = Vec::new();
    let faults = || C::FAULTS.iter().chain(COMMON_FAULTS).copied();
    for fault in faults() {
        if !statuses.contains(&fault.status()) {
            statuses.push(fault.status());
        }
    }
    statuses.extend(BY_SERVER.iter().map(|(status, ..)| *status));
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        let of_call = faults().filter(|fault| fault.status() == status);
        let of_call = of_call.map(|fault| (fault.slug(), fault.title()));
        let of_server = BY_SERVER.iter().filter(|(of, ..)| *of == status);
        let of_server = of_server.map(|(_, slug, title)| (*slug, *title));
        operation = operation.response(status.to_string(), problem(status, of_call.chain(of_server)));
    }
    match C::IN_SESSION {
        true => operation.security(SecurityRequirement::new::<_, [&str; 0], &str>("session", [])),
        false => operation.securities(Some([])),
    }
}

/// What the server answers before it looks at a call: `api::server` has the texts, a test compares them.
const BY_SERVER: [(u16, &str, &str); 11] = [
    (400, "malformed-request", "The request cannot be read"),
    (
        400,
        "malformed-body",
        "The body of the request cannot be read to its end",
    ),
    (
        400,
        "unknown-client-address",
        "A proxy does not say whom the request is from",
    ),
    (403, "address-not-allowed", "No client may come from this address"),
    (408, "head-too-late", "The head of the request took too long"),
    (408, "body-too-late", "The body of the request took too long"),
    (
        429,
        "too-much-at-once",
        "The bodies of requests that come at once on this connection are too large",
    ),
    (431, "head-too-large", "The head of the request is too large"),
    (501, "unknown-transfer-coding", "The transfer coding is not spoken"),
    (503, "answer-too-late", "The answer took too long to be made"),
    (505, "unknown-version", "The version of HTTP is not spoken"),
];

/// One status, and which problems it may stand for.
fn problem(status: u16, kinds: impl Iterator<Item = (&'static str, &'static str)>) -> Response {
    let lines: Vec<String> = kinds
        .map(|(slug, title)| format!("`urn:passline:problem:{slug}`: {title}."))
        .collect();
    let content = |schema: &str| {
        ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(schema)))
            .build()
    };
    let mut response = ResponseBuilder::new()
        .description(lines.join("\n"))
        .content("application/problem+json", content("Problem"))
        .content("application/json", content("FlatMap"));
    if matches!(status, 429 | 503) {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer);
        let header = HeaderBuilder::new()
            .description(Some("After how many seconds it may be tried again."))
            .schema(Some(seconds))
            .build();
        response = response.header("Retry-After", header);
    }
    response.build()
}

/// A response is one or the other; an empty object would be both, so "one of" cannot be said.
fn any_of(one_of: utoipa::openapi::schema::OneOf) -> Schema {
    let mut any_of = utoipa::openapi::schema::AnyOfBuilder::new();
    for item in one_of.items {
        any_of = any_of.item(item);
    }
    Schema::AnyOf(any_of.build())
}

fn reference<T: ToSchema>() -> Ref {
    Ref::from_schema_name(T::name())
}

fn schemas<C: Call>() -> Vec<(String, RefOr<Schema>)> {
    let mut schemas = vec![
        (C::Request::name().into_owned(), C::Request::schema()),
        (C::Response::name().into_owned(), C::Response::schema()),
    ];
    C::Request::schemas(&mut schemas);
    C::Response::schemas(&mut schemas);
    schemas
}

fn problem_schema() -> Schema {
    let text = |about: &str| ObjectBuilder::new().schema_type(Type::String).description(Some(about));
    ObjectBuilder::new()
        .description(Some(
            "What went wrong (RFC 9457). Problems but `unfinished` and `internal` mean that nothing was changed.",
        ))
        .property(
            "type",
            text("Which problem: `urn:passline:problem:` and its name. Tell problems apart by this."),
        )
        .property("title", text("The problem in a few words."))
        .property(
            "status",
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .description(Some("The status of the answer.")),
        )
        .property("detail", text("What exactly, for whoever builds a client."))
        .required("type")
        .required("title")
        .required("status")
        .into()
}

fn flat_schema() -> Schema {
    let text: Schema = ObjectBuilder::new().schema_type(Type::String).into();
    ObjectBuilder::new()
        .description(Some("A response or a fault with `?flat=true`: members of lists and objects are joined by underscores, and `<list>_count` says how many there are."))
        .additional_properties(Some(AdditionalProperties::from(RefOr::T(text))))
        .examples([json!({"users_count": "1", "users_0_label": "1"})])
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api/openapi.json");

    #[test]
    fn the_committed_description_is_that_of_the_code() {
        let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
        assert!(
            committed == text(),
            "docs/api/openapi.json is not up to date; write it with `passline api openapi`"
        );
    }

    #[test]
    fn what_the_server_answers_is_told_as_the_server_tells_it() {
        let server = [
            include_str!("../server/body.rs"),
            include_str!("../server/http1/head.rs"),
            include_str!("../server/request.rs"),
        ]
        .concat();
        for (_, slug, title) in BY_SERVER {
            let told = format!("\"{slug}\",\n");
            let after = server
                .split(&told)
                .nth(1)
                .unwrap_or_else(|| panic!("{slug} is not told"));
            assert!(after.trim_start().starts_with(&format!("\"{title}\"")), "{slug}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let value = serde_json::to_value(document()).unwrap();
        let schemas = value["components"]["schemas"].as_object().unwrap();
        let text = text();
        for (index, _) in text.match_indices("#/components/schemas/") {
            let name = text[index + "#/components/schemas/".len()..].split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
        assert_eq!(value["openapi"], "3.1.0");
        assert_eq!(value["paths"].as_object().unwrap().len(), 10);
    }

    #[test]
    fn requests_name_everything_that_they_take() {
        let value = serde_json::to_value(document()).unwrap();
        for (name, schema) in value["components"]["schemas"].as_object().unwrap() {
            if name.ends_with("Request") {
                assert_eq!(schema["additionalProperties"], false, "{name}");
                assert!(
                    schema["properties"].as_object().is_none_or(|all| {
                        all.values().all(|property| {
                            let choices = property["oneOf"].as_array().into_iter().flatten();
                            let mut told = std::iter::once(property).chain(choices);
                            told.any(|one| one.get("description").is_some() || one.get("$ref").is_some())
                        })
                    }),
                    "{name}"
                );
            }
        }
    }
}
