//! The text a person sees.

use super::read;
use crate::email::parse::html_to_text;

#[test]
fn hidden_elements_are_left_out() {
    for hidden in [
        "<div style=\"display:none\">x</div>",
        "<div style='DISPLAY : None !important; color:red'>x<div>y</div></div>",
        "<span style=\"visibility:hidden\">x</span>",
        "<div style=\"max-height:0px;overflow:hidden\">x</div>",
        "<div style=\"font-size:1px;line-height:1px\">x</div>",
        "<div style=\"mso-hide:all\">x</div>",
        "<p style=\"opacity:0\">x</p>",
        "<p hidden>x<p>",
        "<div style=\"font-size:0\"><b>x</b></div>",
        "<div style=\"display:none\"><style>.a{}</style>x</div>",
    ] {
        assert_eq!(html_to_text(&format!("{hidden}<p>seen</p>")), "seen", "{hidden}");
    }
}

#[test]
fn what_only_looks_hidden_is_seen() {
    for shown in [
        "<td style=\"font-size:0px;padding:0\"><div style=\"font-size:16px\">seen</div></td>",
        "<div style=\"max-height:100px\">seen</div>",
        "<div style=\"opacity:0.9\">seen</div>",
        "<div style=\"display:none\">seen",
        "<div style=\"display:none\">seen</div>",
        "<p title=\"display:none\">seen</p>",
        "<!--[if mso]>other<![endif]--><![if !mso]>seen<![endif]>",
        "<!--[if !mso]><!-->seen<!--<![endif]-->",
    ] {
        assert_eq!(html_to_text(shown), "seen", "{shown}");
    }
}

#[test]
fn preheaders_and_pixels_leave_no_trace() {
    let newsletter = "<body><div style=\"display:none;max-height:0\">Preview &zwnj;&nbsp;&#847;&zwnj;</div>\
                      <h1>Hello</h1><p>Text&shy;mark &nbsp;</p><img src=\"p.gif\" width=1 height=1 alt=\"\"></body>";
    assert_eq!(html_to_text(newsletter), "Hello\n\nTextmark");
}

#[test]
fn scripts_forms_and_titles_are_no_text() {
    let page = "<title>t</title><script>alert('<p>x</p>')</script><form>Name <input value=v><select><option>o</select></form>y";
    assert_eq!(html_to_text(page), "Name\ny");
    assert_eq!(html_to_text("<p>a</p><title>never closed <p>b</p>"), "a\n\nnever closed\n\nb");
}

#[test]
fn references_are_decoded() {
    assert_eq!(
        html_to_text("&lt;b&gt; &amp;amp; &euro; &#8364; &#x20AC; &#150; &copy 2026 &nbsp;x"),
        "<b> &amp; € € € – © 2026 x"
    );
    assert_eq!(html_to_text("a &unknown; b & c &#xD800; &#0;d"), "a &unknown; b & c \u{fffd} d");
}

#[test]
fn lines_are_those_of_the_page() {
    for (html, text) in [
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("<div>a</div><div>b</div><div><br></div><div>c</div>", "a\nb\n\nc"),
        ("<p>a</p>\n<p>b</p>", "a\n\nb"),
        ("<b>a</b>\n <i>b</i>c", "a bc"),
        ("<pre>a\n  b\n\nc</pre>d", "a\n  b\n\nc\n\nd"),
        ("<ol><li>a<li><p>b</p><ul><li>c</ul></ol>", "1. a\n2. b\n\n  * c"),
        ("x<blockquote>a<br>b<blockquote>c</blockquote></blockquote>y", "x\n\n> a\n> b\n>\n> > c\n\ny"),
        ("<tr><td>Total<td>12 €</tr>", "Total 12 €"),
        ("hi <img alt=\"🎉\"> <img alt=\"a photo\">", "hi 🎉"),
    ] {
        assert_eq!(html_to_text(html), text, "{html}");
    }
}

#[test]
fn flowed_lines_become_one() {
    let flowed = |body: &str, more: &str| {
        read(&format!("From: a@x.example\nContent-Type: text/plain; format=flowed{more}\n\n{body}")).text
    };
    assert_eq!(flowed("A long \nline and\nanother.\n", ""), "A long line and\nanother.\n");
    assert_eq!(flowed("> quoted \n> text\n>> deeper \n> again\nnew\n", ""), "> quoted text\n>> deeper\n> again\nnew\n");
    assert_eq!(flowed("Grü \nße\n", "; delsp=yes"), "Grüße\n");
    assert_eq!(flowed(" From here\n-- \nAda\n", ""), "From here\n-- \nAda\n");
    assert_eq!(flowed("end \n\nnext\n", ""), "end\n\nnext\n");
}

#[test]
fn forms_of_one_text_are_read_once_and_different_texts_all() {
    let alternative = "Content-Type: multipart/alternative; boundary=a\n\n--a\n\nplain\n--a\nContent-Type: text/html\n\n<p>rich</p>\n--a--\n";
    let mixed = read(&format!(
        "From: a@x.example\nContent-Type: multipart/mixed; boundary=m\n\n--m\n{alternative}\n--m\nContent-Type: text/html\n\n<p>more</p>\n--m--\n"
    ));
    assert_eq!(mixed.text, "plain\nmore");
    assert_eq!(mixed.html.as_deref(), Some("<p>rich</p>\n<p>more</p>"));
}

#[test]
fn further_forms_of_a_text_are_no_attachments() {
    let read = read(
        "From: a@x.example\nContent-Type: multipart/alternative; boundary=a\n\n--a\n\nplain\n--a\nContent-Type: \
         text/x-amp-html\n\n<p>amp</p>\n--a\nContent-Type: text/html\n\n<p>rich</p>\n--a--\n",
    );
    assert_eq!((read.text.as_str(), read.attachments.len()), ("plain", 0));
}

#[test]
fn what_stores_refuse_is_gone() {
    let read = read("From: a@x.example\r\n\r\na\u{0}\u{8}\u{1b}b\u{b}c\u{c}d\u{7f}\u{85}e\u{fffe}f\r\ng\rh");
    assert_eq!(read.text, "ab\nc\nd\nef\ng\nh");
}
