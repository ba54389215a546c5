//! The pages of operators, as a browser asks for them.

mod jobs;
mod looks;
mod sessions;
mod sign_in;
mod steering;

use reqwest::{Method, StatusCode, header};
use store::AdminRole;

use crate::support::{Member, World, bcrypt_hash};

pub const DASHBOARD: &str = "/dashboard";
pub const SIGN_IN: &str = "/dashboard/sign-in";
/// Every page that is one by itself.
pub const PAGES: [&str; 7] = [
    "/dashboard",
    "/dashboard/jobs",
    "/dashboard/errors",
    "/dashboard/fleet",
    "/dashboard/counters",
    "/dashboard/audit",
    "/dashboard/help",
];

/// What a browser is to the server: it keeps cookies, and follows no redirect unless told.
pub struct Browser {
    http: reqwest::Client,
    url: String,
    cookies: Vec<(String, String)>,
}

/// A page.
#[derive(Debug)]
pub struct Page {
    pub status: StatusCode,
    pub headers: header::HeaderMap,
    pub text: String,
}

impl Page {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Where it leads.
    pub fn location(&self) -> &str {
        self.header("location")
    }

    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}: {}", self.location(), self.text);
        self
    }

    pub fn has(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// The cookies that it sets.
    pub fn cookies(&self) -> Vec<String> {
        let all = self.headers.get_all(header::SET_COOKIE).iter();
        all.map(|value| value.to_str().expect("text").to_owned()).collect()
    }
}

impl Browser {
    pub fn new(world: &World) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Self { http, url: world.api.url().to_owned(), cookies: Vec::new() }
    }

    /// One that somebody has signed in with. Their session cannot be renewed.
    pub fn of(world: &World, member: &Member) -> Self {
        Self::new(world).with_cookie("accessToken", member.client.token().expect("a session"))
    }

    /// With exactly this cookie of the name; without any if it is empty.
    #[must_use]
    pub fn with_cookie(mut self, name: &str, value: &str) -> Self {
        self.cookies.retain(|(other, _)| other != name);
        if !value.is_empty() {
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.http.request(method, format!("{}{path}", self.url));
        if cookies.is_empty() { request } else { request.header(header::COOKIE, cookies.join("; ")) }
    }

    /// Sends a request, and keeps the cookies of its answer.
    pub async fn send(&mut self, request: reqwest::RequestBuilder) -> Page {
        let answer = request.send().await.expect("the api answers");
        let (status, headers) = (answer.status(), answer.headers().clone());
        let page = Page { status, headers, text: answer.text().await.expect("a body") };
        for cookie in page.cookies() {
            let (name, value) = cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            self.cookies.retain(|(other, _)| other != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        page
    }

    pub async fn get(&mut self, path: &str) -> Page {
        self.send(self.request(Method::GET, path)).await
    }

    /// Sends a form as a page of ours does.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let request = self.request(Method::POST, path).header(header::ORIGIN, self.url.clone()).form(fields);
        self.send(request).await
    }
}

/// A signed-in admin, who can sign in again.
pub async fn admin(world: &World, role: AdminRole) -> Member {
    let member = world.member_with_hash(&bcrypt_hash()).await;
    let granted = world.env.store().users().grant_admin(&member.name, role).await.expect("the database answers");
    assert_eq!(granted, Some(member.id));
    member
}
