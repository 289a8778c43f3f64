//! For CI: the XML of `JUnit`. A theme is a suite; what could not be judged is an error and no failure.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use quick_xml::Writer;
use quick_xml::events::BytesText;

use super::{Report, Row, Standing, by_theme, comparison};
use crate::runner::Failure;

type Xml = Writer<Vec<u8>>;

/// The whole document. What an interrupted run has left is skipped.
pub fn junit(report: &Report) -> io::Result<Vec<u8>> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    let all: Vec<Row<'_>> = report.of_all().collect();
    // The schema that most readers go by has no `skipped` here, but in a suite.
    let counts = counts(&all, report.took).into_iter();
    let counts: Vec<_> = counts.filter(|(name, _)| *name != "skipped").collect();
    xml.get_mut()
        .extend_from_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    xml.create_element("testsuites")
        .with_attribute(("name", "sluice-conformance"))
        .with_attributes(borrowed(&counts))
        .write_inner_content(|xml| {
            let mut themes = by_theme(&all).into_iter();
            themes.try_for_each(|(theme, cases)| suite(xml, report, theme, &cases))
        })?;
    let mut text = xml.into_inner();
    text.push(b'\n');
    Ok(text)
}

fn suite(xml: &mut Xml, report: &Report, theme: &str, cases: &[Row<'_>]) -> io::Result<()> {
    let took = cases.iter().map(|(result, _)| result.took).sum();
    let counts = counts(cases, took);
    xml.create_element("testsuite")
        .with_attribute(("name", theme))
        .with_attributes(borrowed(&counts))
        .write_inner_content(|xml| {
            properties(xml, report)?;
            cases.iter().try_for_each(|row| case(xml, theme, *row))
        })?;
    Ok(())
}

/// Who judged, and by what.
fn properties(xml: &mut Xml, report: &Report) -> io::Result<()> {
    let profile = report.profile.to_string();
    xml.create_element("properties")
        .write_inner_content(|xml| {
            for property in [("runner", report.runner), ("profile", &profile)] {
                xml.create_element("property")
                    .with_attributes([("name", property.0), ("value", property.1)])
                    .write_empty()?;
            }
            Ok(())
        })?;
    Ok(())
}

fn counts(cases: &[Row<'_>], took: Duration) -> [(&'static str, String); 5] {
    let count = |is: fn(&Standing<'_>) -> bool| {
        let these = cases.iter().filter(|(_, standing)| is(standing));
        these.count().to_string()
    };
    [
        ("tests", cases.len().to_string()),
        ("failures", count(|it| matches!(it, Standing::Failed(_)))),
        ("errors", count(|it| matches!(it, Standing::Error(_)))),
        (
            "skipped",
            count(|it| matches!(it, Standing::Skipped(_) | Standing::Waived(..))),
        ),
        ("time", seconds(took)),
    ]
}

fn borrowed<'c>(counts: &'c [(&'static str, String)]) -> impl Iterator<Item = (&'c str, &'c str)> {
    counts.iter().map(|(name, count)| (*name, count.as_str()))
}

fn case(xml: &mut Xml, theme: &str, (result, standing): Row<'_>) -> io::Result<()> {
    let time = seconds(result.took);
    let element = xml
        .create_element("testcase")
        .with_attribute(("classname", theme))
        .with_attribute(("name", &*result.id))
        .with_attribute(("time", time.as_str()));
    if standing == Standing::Passed {
        element.write_empty()?;
        return Ok(());
    }
    element.write_inner_content(|xml| match standing {
        Standing::Passed => Ok(()),
        Standing::Failed(failure) => failed(xml, failure),
        Standing::Error(reason) => said(xml, "error", reason, reason),
        Standing::Skipped(reason) => said(xml, "skipped", reason, ""),
        Standing::Waived(failure, reason) => {
            said(xml, "skipped", &format!("waived: {reason}"), "")?;
            let text = format!("{}\n{}", failure.said(), comparison(failure));
            xml.create_element("system-out")
                .write_text_content(BytesText::new(&legal(&text)))?;
            Ok(())
        }
    })?;
    Ok(())
}

fn failed(xml: &mut Xml, failure: &Failure) -> io::Result<()> {
    let message = failure.said();
    said(
        xml,
        "failure",
        &message,
        &format!("{message}\n{}", comparison(failure)),
    )
}

fn said(xml: &mut Xml, element: &str, message: &str, text: &str) -> io::Result<()> {
    let message = legal(message);
    let element = xml
        .create_element(element)
        .with_attribute(("message", &*message));
    if text.is_empty() {
        element.write_empty()?;
    } else {
        element.write_text_content(BytesText::new(&legal(text)))?;
    }
    Ok(())
}

fn seconds(took: Duration) -> String {
    format!("{:.3}", took.as_secs_f64())
}

/// XML has no way to write most control characters, and names and errors may hold any.
fn legal(text: &str) -> Cow<'_, str> {
    let is_legal = |it: char| {
        matches!(it, '\t' | '\n' | '\r')
            || (it >= ' ' && !matches!(it, '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}'))
    };
    if text.chars().all(is_legal) {
        return text.into();
    }
    let mut escaped = String::new();
    for character in text.chars() {
        if is_legal(character) {
            escaped.push(character);
        } else {
            escaped.extend(character.escape_default());
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use roxmltree::{Document, Node};

    use super::*;
    use crate::report::examples;

    fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
        node.children().find(|it| it.has_tag_name(name))
    }

    #[test]
    fn what_an_interrupted_run_has_left_is_skipped() {
        let text = String::from_utf8(junit(&examples::interrupted()).unwrap()).unwrap();
        let document = Document::parse(&text).unwrap();
        assert_eq!(document.root_element().attribute("tests"), Some("7"));
        let mut all = document.descendants();
        let is_it = |it: &Node<'_, '_>| it.attribute("name") == Some("names/left");
        let skipped = child(all.find(is_it).unwrap(), "skipped").unwrap();
        let reason = "left: the run was interrupted";
        assert_eq!(skipped.attribute("message"), Some(reason));
    }

    #[test]
    fn every_outcome_is_told_as_ci_systems_read_it() {
        let text = String::from_utf8(junit(&examples::report()).unwrap()).unwrap();
        let document = Document::parse(&text).unwrap();
        let root = document.root_element();
        assert_eq!(root.tag_name().name(), "testsuites");
        for (attribute, value) in [("tests", "5"), ("failures", "1"), ("errors", "1")] {
            assert_eq!(root.attribute(attribute), Some(value), "{attribute}");
        }
        assert_eq!(root.attribute("skipped"), None);
        let blocks = root.children().rfind(Node::is_element).unwrap();
        assert_eq!(blocks.attribute("skipped"), Some("2"));
        let suites: Vec<_> = root
            .children()
            .filter(Node::is_element)
            .map(|it| {
                (
                    it.attribute("name").unwrap(),
                    it.attribute("tests").unwrap(),
                )
            })
            .collect();
        assert_eq!(suites, [("ports", "2"), ("blocks", "3")]);
        let mut properties = document.descendants();
        assert!(properties.any(|it| it.has_tag_name("property")
            && it.attribute("name") == Some("runner")
            && it.attribute("value") == Some("evaluator")));
        let case = |id: &str| {
            let mut all = document.descendants();
            all.find(|it| it.has_tag_name("testcase") && it.attribute("name") == Some(id))
                .unwrap()
        };
        assert!(!case("ports/good").has_children());
        assert_eq!(case("ports/good").attribute("time"), Some("1.500"));
        let failure = child(case("ports/bad"), "failure").unwrap();
        let message = failure.attribute("message").unwrap();
        assert!(message.contains("1 of 1 cells are wrong"), "{message}");
        assert!(failure.text().unwrap().contains("expected"), "the tables");
        assert!(failure.text().unwrap().contains("80/TCP IPv4"));
        let error = child(case("blocks/broken"), "error").unwrap();
        assert_eq!(
            error.attribute("message"),
            Some("no <namespace> & no \\u{1b}[31mcolour")
        );
        assert!(child(case("blocks/broken"), "failure").is_none());
        let skipped = child(case("blocks/elsewhere"), "skipped").unwrap();
        assert_eq!(skipped.attribute("message"), Some("needs packets"));
        let waived = child(case("blocks/known"), "skipped").unwrap();
        assert_eq!(
            waived.attribute("message"),
            Some("waived: known # since May")
        );
    }
}
