//! What can be wrong in `magpie.txt`, in words for people, English and Chinese.

use super::words::Language;

/// A mistake and its line, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    pub line: usize,
    pub mistake: Mistake,
}

/// No value of a line is repeated here: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    TooLong,
    TooManyLines,
    Utf16,
    RichText,
    OldLetters,
    NoEqualsSign,
    NoName,
    LongValue {
        name: String,
    },
    ControlCharacter {
        name: String,
    },
    Unknown {
        name: String,
        meant: Option<&'static str>,
    },
    Twice {
        name: String,
        earlier: usize,
    },
    NotAllowed {
        name: String,
        allowed: String,
    },
    /// The appliance has its own value for it.
    NotHere {
        name: String,
        instead: Option<&'static str>,
    },
    WifiPassword,
    WifiPasswordMissing,
    WifiNameMissing,
    WifiName,
    Country,
    SshKey,
    PrivateSshKey,
    SoundHat,
    /// Settings that do not fit each other, as `config` says it.
    Clash {
        why: String,
    },
}

impl Complaint {
    pub fn told(&self, language: Language) -> String {
        match language {
            Language::English => format!("line {}: {}", self.line, self.mistake.english()),
            Language::Chinese => format!("第 {} 行：{}", self.line, self.mistake.chinese()),
        }
    }
}

impl Mistake {
    fn english(&self) -> String {
        match self {
            Mistake::TooLong => "the file is longer than 64 KiB; nothing of it was taken".into(),
            Mistake::TooManyLines => "there are more than 1000 lines; this one and all after it were not read".into(),
            Mistake::Utf16 => "the file was saved as Unicode (UTF-16); save it again as UTF-8. Nothing of it was taken".into(),
            Mistake::RichText => "this is rich text; save it as plain text (in TextEdit: Format, Make Plain Text). Nothing of it was taken".into(),
            Mistake::OldLetters => "it has letters in an old encoding; save the file as UTF-8".into(),
            Mistake::NoEqualsSign => "there is no = in it; write NAME=value, or # before a remark".into(),
            Mistake::NoName => "before the = stands no name; write NAME=value".into(),
            Mistake::LongValue { name } => format!("what stands behind {name} is too long"),
            Mistake::ControlCharacter { name } => format!("behind {name} stands a character that cannot be seen; type the value anew"),
            Mistake::Unknown { name, meant: Some(meant) } => format!("there is no setting {name}; did you mean {meant}?"),
            Mistake::Unknown { name, meant: None } => format!("there is no setting {name}"),
            Mistake::Twice { name, earlier } => format!("{name} stands in line {earlier} too; this line counts"),
            Mistake::NotAllowed { name, allowed } => format!("this is not possible for {name}; possible: {allowed}"),
            Mistake::NotHere { name, instead: Some(instead) } => format!("write {instead} in place of {name}"),
            Mistake::NotHere { name, instead: None } => format!("{name} is fixed on this box"),
            Mistake::WifiPassword => "a Wi-Fi password has 8 to 63 plain characters; look for a slip".into(),
            Mistake::WifiPasswordMissing => "another Wi-Fi wants its password anew: write it behind WIFI_PASSWORD".into(),
            Mistake::WifiNameMissing => "there is a password and no network: write its name behind WIFI_SSID".into(),
            Mistake::WifiName => "the name of a Wi-Fi has at most 32 bytes".into(),
            Mistake::Country => "a country is written with two letters, such as DE, US or CN".into(),
            Mistake::SshKey => "this is no public SSH key; it begins with ssh-ed25519, ssh-rsa or ecdsa-sha2, and stands on one line".into(),
            Mistake::PrivateSshKey => "this is the beginning of a PRIVATE key; delete it here and make a new pair. The box wants the line in the .pub file".into(),
            Mistake::SoundHat => "the name of an overlay has letters, digits and hyphens, such as hifiberry-dac".into(),
            Mistake::Clash { why } => format!("{why}; the settings stay as they were"),
        }
    }

    fn chinese(&self) -> String {
        match self {
            Mistake::TooLong => "文件超过 64 KiB，没有读取任何内容".into(),
            Mistake::TooManyLines => "超过 1000 行，从这一行起没有读取".into(),
            Mistake::Utf16 => {
                "文件保存成了 Unicode（UTF-16），请改存为 UTF-8；没有读取任何内容".into()
            }
            Mistake::RichText => "这是富文本，请存为纯文本；没有读取任何内容".into(),
            Mistake::OldLetters => "这一行用的是旧编码，请把文件存为 UTF-8".into(),
            Mistake::NoEqualsSign => "没有等号；请写成 名称=值，说明前面加 #".into(),
            Mistake::NoName => "等号前面没有名称；请写成 名称=值".into(),
            Mistake::LongValue { name } => format!("{name} 的值太长"),
            Mistake::ControlCharacter { name } => {
                format!("{name} 的值里有看不见的字符，请重新输入")
            }
            Mistake::Unknown {
                name,
                meant: Some(meant),
            } => format!("没有 {name} 这个设置；是不是 {meant}？"),
            Mistake::Unknown { name, meant: None } => format!("没有 {name} 这个设置"),
            Mistake::Twice { name, earlier } => {
                format!("{name} 在第 {earlier} 行也有；以这一行为准")
            }
            Mistake::NotAllowed { name, allowed } => {
                format!("{name} 不能是这个值；可以是：{allowed}")
            }
            Mistake::NotHere {
                name,
                instead: Some(instead),
            } => format!("请用 {instead} 代替 {name}"),
            Mistake::NotHere {
                name,
                instead: None,
            } => format!("{name} 在这个盒子上是固定的"),
            Mistake::WifiPassword => "无线网络密码应为 8 到 63 个普通字符，请检查".into(),
            Mistake::WifiPasswordMissing => {
                "换了无线网络，请在 WIFI_PASSWORD 后面重新填写密码".into()
            }
            Mistake::WifiNameMissing => "有密码，没有网络名称：请填写 WIFI_SSID".into(),
            Mistake::WifiName => "无线网络名称最多 32 个字节".into(),
            Mistake::Country => "国家要用两个字母，例如 CN、DE、US".into(),
            Mistake::SshKey => {
                "这不是 SSH 公钥；公钥以 ssh-ed25519、ssh-rsa 或 ecdsa-sha2 开头，并且只占一行"
                    .into()
            }
            Mistake::PrivateSshKey => {
                "这是私钥的开头！请从这里删除，并重新生成一对密钥。这里需要的是 .pub 文件里的那一行"
                    .into()
            }
            Mistake::SoundHat => "overlay 名称由字母、数字和连字符组成，例如 hifiberry-dac".into(),
            Mistake::Clash { why } => format!("{why}（设置保持不变）"),
        }
    }
}
