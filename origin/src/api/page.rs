//! `page` and `per_page` of a list, and where its neighbours are; pure.

use serde::Deserialize;

use super::error::FieldErrors;
use crate::registry::Page;

/// Streams on a page unless asked otherwise.
const DEFAULT_PER_PAGE: u32 = 25;

/// Most streams on a page: some 150 KiB of JSON.
const MAX_PER_PAGE: u32 = 100;

/// Last page that can be asked for, far beyond any client's streams; keeps the
/// arithmetic below from overflowing.
const MAX_PAGE: u32 = 1_000_000;

/// The query of a list, as text, so that the refusal can be ours.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Query {
    page: Option<String>,
    per_page: Option<String>,
}

/// Which page of a list, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageNumber {
    page: u32,
    per_page: u32,
}

impl Query {
    /// Reads both numbers.
    pub(super) fn parse(&self) -> Result<PageNumber, FieldErrors> {
        let mut errors = FieldErrors::default();
        let mut read = |name: &str, text: &Option<String>, default: u32, max: u32| match text {
            None => default,
            Some(text) => match text.parse() {
                Ok(number) if (1..=max).contains(&number) => number,
                _ => {
                    errors.add(name, format!("must be an integer from 1 to {max}"));
                    default
                }
            },
        };
        let page = read("page", &self.page, 1, MAX_PAGE);
        let per_page = read("per_page", &self.per_page, DEFAULT_PER_PAGE, MAX_PER_PAGE);
        errors.or(PageNumber { page, per_page })
    }
}

impl PageNumber {
    /// The part of the list that this page is.
    pub(super) fn range(self) -> Page {
        Page {
            offset: u64::from(self.page - 1) * u64::from(self.per_page),
            limit: self.per_page,
        }
    }

    /// The `Link` header (RFC 8288) to the neighbouring pages of a list of
    /// `total`; `None` when there are no neighbours.
    pub(super) fn links(self, total: u64) -> Option<String> {
        let last = total.div_ceil(u64::from(self.per_page)).max(1);
        let page = u64::from(self.page);
        let mut links = Vec::new();
        let mut link = |number: u64, rel: &str| {
            let per_page = self.per_page;
            links.push(format!(
                "</streaming/streams?page={number}&per_page={per_page}>; rel=\"{rel}\""
            ));
        };
        if page > 1 {
            link(1, "first");
            link((page - 1).min(last), "prev");
        }
        if page < last {
            link(page + 1, "next");
            link(last, "last");
        }
        (!links.is_empty()).then(|| links.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(page: &str, per_page: &str) -> Result<PageNumber, FieldErrors> {
        Query {
            page: Some(page.to_owned()),
            per_page: Some(per_page.to_owned()),
        }
        .parse()
    }

    #[test]
    fn first_page_is_the_default() {
        let page = Query::default().parse().unwrap();
        assert_eq!(
            page.range(),
            Page {
                offset: 0,
                limit: 25
            }
        );
        assert_eq!(page.links(25), None);
    }

    #[test]
    fn pages_follow_each_other() {
        assert_eq!(
            query("3", "10").unwrap().range(),
            Page {
                offset: 20,
                limit: 10
            }
        );
        assert_eq!(
            query("2", "10").unwrap().links(21).unwrap(),
            "</streaming/streams?page=1&per_page=10>; rel=\"first\", \
             </streaming/streams?page=1&per_page=10>; rel=\"prev\", \
             </streaming/streams?page=3&per_page=10>; rel=\"next\", \
             </streaming/streams?page=3&per_page=10>; rel=\"last\""
        );
    }

    #[test]
    fn a_page_beyond_the_end_leads_back() {
        let links = query("9", "10").unwrap().links(11).unwrap();
        assert!(
            links.contains("page=2&per_page=10>; rel=\"prev\""),
            "{links}"
        );
        assert!(!links.contains("next"), "{links}");
    }

    #[test]
    fn bad_numbers_are_named() {
        for (page, per_page, fields) in [
            ("0", "10", vec!["page"]),
            ("1", "101", vec!["per_page"]),
            ("-1", "x", vec!["page", "per_page"]),
            ("99999999999", "", vec!["page", "per_page"]),
        ] {
            assert_eq!(query(page, per_page).unwrap_err().fields(), fields);
        }
    }
}
