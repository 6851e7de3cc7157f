//! The two pages of the set-up, without a script: phones open them in a bare window of their own.

use super::scan::Seen;
use crate::device::first_boot::Language;

pub const STYLE: &str = include_str!("style.css");

/// What went wrong with the last try, to be told above the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Code,
    NoNetwork,
    LongName,
    Password,
    TooFast,
    /// Sent from elsewhere, or from a page of before.
    Stale,
    NotJoined,
    NoAddress,
}

impl Trouble {
    fn told(self, language: Language) -> &'static str {
        let (english, chinese) = match self {
            Trouble::Code => (
                "These are not the last four digits of the code. The box says the code and shows it.",
                "这不是验证码的最后四位。验证码由盒子说出并显示。",
            ),
            Trouble::NoNetwork => (
                "Choose a network, or type its name.",
                "请选择一个网络，或输入它的名称。",
            ),
            Trouble::LongName => (
                "The name of a network has at most 32 bytes.",
                "网络名称最多 32 个字节。",
            ),
            Trouble::Password => (
                "A Wi-Fi password has 8 to 63 plain characters. Leave it empty for an open network.",
                "无线网络密码为 8 到 63 个普通字符；开放网络请留空。",
            ),
            Trouble::TooFast => ("That was too fast. Wait a minute.", "太快了，请等一分钟。"),
            Trouble::Stale => (
                "This page was old. Fill it in again.",
                "页面已过期，请重新填写。",
            ),
            Trouble::NotJoined => (
                "The box could not join that network. Is the password right? Is the network near enough?",
                "盒子无法连接这个网络。请检查密码和信号。",
            ),
            Trouble::NoAddress => (
                "The box joined that network but got no address from it.",
                "盒子已连接这个网络，但没有得到地址。",
            ),
        };
        language.pick(english, chinese)
    }
}

pub struct FormPage<'a> {
    pub language: Language,
    pub networks: &'a [Seen],
    pub token: &'a str,
    /// What was chosen before.
    pub ssid: &'a str,
    pub trouble: Option<Trouble>,
}

impl FormPage<'_> {
    pub fn html(&self) -> String {
        let word = |english, chinese| self.language.pick(english, chinese);
        let other = match self.language {
            Language::English => "<a href=\"/?lang=zh\" lang=\"zh\">中文</a>",
            Language::Chinese => "<a href=\"/?lang=en\" lang=\"en\">English</a>",
        };
        let trouble = self.trouble.map_or(String::new(), |trouble| {
            format!(
                "<p class=trouble role=alert>{}</p>",
                trouble.told(self.language)
            )
        });
        let is_listed = self.networks.iter().any(|seen| seen.ssid == self.ssid);
        let choices: String = self
            .networks
            .iter()
            .map(|seen| {
                let selected = if seen.ssid == self.ssid {
                    " selected"
                } else {
                    ""
                };
                let name = escaped(&seen.ssid);
                let open = if seen.is_open {
                    word(" (open)", "（开放）")
                } else {
                    ""
                };
                format!("<option value=\"{name}\"{selected}>{name}{open}</option>")
            })
            .collect();
        let typed = if is_listed {
            String::new()
        } else {
            escaped(self.ssid)
        };
        let body = format!(
            "<nav>{other}</nav><h1>{}</h1><p>{}</p>{trouble}\
             <form method=post action=/join accept-charset=utf-8>\
             <input type=hidden name=token value=\"{}\"><input type=hidden name=lang value={}>\
             <label>{}<select name=network><option value=\"\">{}</option>{choices}</select></label>\
             <label>{}<input name=other maxlength=32 autocomplete=off autocapitalize=none spellcheck=false value=\"{typed}\"></label>\
             <label>{}<input name=password type=password maxlength=64 autocomplete=off></label>\
             <label>{}<input name=proof inputmode=numeric maxlength=14 autocomplete=off required></label>\
             <button>{}</button></form>",
            word("Connect the box", "连接盒子"),
            word(
                "Choose the Wi-Fi that the box should live in.",
                "请选择盒子要使用的无线网络。"
            ),
            self.token,
            self.language.code(),
            word("Network", "网络"),
            word("choose…", "请选择…"),
            word(
                "or its name, if it is not listed",
                "或输入网络名称（如果列表中没有）"
            ),
            word("Password of that network", "该网络的密码"),
            word(
                "Last four digits of the code that the box says",
                "盒子说出的验证码的最后四位"
            ),
            word("Connect", "连接"),
        );
        whole(self.language, word("Magpie set-up", "Magpie 设置"), &body)
    }
}

/// After the form was taken; the Wi-Fi that carries it goes away.
pub fn trying(language: Language, ssid: &str, host_name: &str) -> String {
    let ssid = escaped(ssid);
    let host_name = escaped(host_name);
    let body = match language {
        Language::English => format!(
            "<h1>The box is joining “{ssid}”</h1><ol><li>The Wi-Fi “Magpie set-up” goes away now.</li>\
             <li>Connect this phone to your own Wi-Fi again.</li>\
             <li>Open <b>http://{host_name}.local</b> there. The box tells you when it is connected.</li></ol>\
             <p>If it does not work, “Magpie set-up” comes back within two minutes and the page says why.</p>"
        ),
        Language::Chinese => format!(
            "<h1>盒子正在连接“{ssid}”</h1><ol><li>无线网络“Magpie set-up”现在会消失。</li>\
             <li>请让手机重新连接您自己的无线网络。</li>\
             <li>然后打开 <b>http://{host_name}.local</b>。连接成功后，盒子会告诉您。</li></ol>\
             <p>如果失败，“Magpie set-up”会在两分钟内再次出现，网页上会说明原因。</p>"
        ),
    };
    whole(
        language,
        language.pick("Magpie set-up", "Magpie 设置"),
        &body,
    )
}

fn whole(language: Language, title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang={}><head><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><link rel=stylesheet href=/style.css></head><body><main>{body}</main></body></html>",
        language.code()
    )
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(sign),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_with_a_wicked_name_is_only_a_name() {
        let networks = [Seen {
            ssid: String::from("\"><script>alert('&')"),
            signal: -50.0,
            is_open: true,
        }];
        for language in Language::BOTH {
            let page = FormPage {
                language,
                networks: &networks,
                token: "t",
                ssid: "\"><script>",
                trouble: Some(Trouble::Code),
            };
            for html in [page.html(), trying(language, &networks[0].ssid, "magpie")] {
                assert!(!html.contains("<script"), "{html}");
                assert!(html.contains("&lt;script&gt;"), "{html}");
            }
        }
    }
}
