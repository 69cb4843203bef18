//! `#[derive(Record)]`: writes a record as the JSON that serde's `Serialize` would write, and reads it back. It understands
//! those of serde's attributes that Heliograph's records have: `rename`, `rename_all = "snake_case"` or `"lowercase"` or
//! `"UPPERCASE"`, `default`, `skip_serializing_if`. Why there is something of our own is told in `src/protocol/record.rs`.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Error, Field, Fields, Ident, LitStr, Path, Result, Variant, parse_macro_input};

#[proc_macro_derive(Record, attributes(serde))]
pub fn derive_record(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    record(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn record(input: &DeriveInput) -> Result<Tokens> {
    let name = &input.ident;
    let (written, body) = match &input.data {
        Data::Struct(data) => {
            let read = read_fields(&data.fields, &quote!(Self))?;
            let (pattern, written) = (pattern(&data.fields), write_fields(&data.fields)?);
            (quote! { let Self #pattern = self; #written }, read)
        }
        Data::Enum(data) => {
            let rename_all = Options::of(&input.attrs)?.rename_all;
            let is_plain = |variant: &Variant| matches!(variant.fields, Fields::Unit);
            let all_plain = data.variants.iter().all(is_plain);
            let arms = data.variants.iter().map(|variant| arm(variant, rename_all.as_deref(), all_plain));
            let arms = arms.collect::<Result<Vec<_>>>()?;
            // What an unknown name is read as does not matter: the least costly.
            let stand_in = data.variants.iter().position(is_plain).unwrap_or_default();
            let names = arms.iter().map(|arm| &arm.name);
            let writing = arms.iter().map(|arm| &arm.write);
            let writing = if all_plain {
                quote! { crate::protocol::record::plain_variant(out, match self { #(#writing,)* }); }
            } else {
                quote! { match self { #(#writing,)* } }
            };
            let reading = arms.iter().enumerate().filter(|(place, _)| *place != stand_in);
            let reading = reading.map(|(place, Arm { read, .. })| quote! { #place => #read, });
            let else_ = arms.get(stand_in).map(|arm| &arm.read);
            let read = quote! {
                let (place, value) = crate::protocol::record::variant(value, &[#(#names),*], fault);
                match place {
                    #(#reading)*
                    _ => #else_,
                }
            };
            (writing, read)
        }
        Data::Union(_) => return Err(Error::new_spanned(name, "a record is a struct or an enum")),
    };
    Ok(quote! {
        impl crate::protocol::json::ToJson for #name {
            fn to_json(&self) -> ::serde_json::Value {
                crate::protocol::record::document(self)
            }
        }

        impl crate::protocol::record::Record for #name {
            fn write(&self, out: &mut ::std::vec::Vec<u8>) {
                #written
            }

            fn take(value: ::serde_json::Value, fault: &mut crate::protocol::record::Fault) -> Self {
                #body
            }
        }
    })
}

/// What a variant is called, how it is written, and how it is read.
struct Arm {
    name: String,
    write: Tokens,
    read: Tokens,
}

fn arm(variant: &Variant, rename_all: Option<&str>, all_plain: bool) -> Result<Arm> {
    let ident = &variant.ident;
    let name = match Options::of(&variant.attrs)?.rename {
        Some(name) => name,
        None => renamed(ident, rename_all)?,
    };
    let read = read_fields(&variant.fields, &quote!(Self::#ident))?;
    let (pattern, written) = (pattern(&variant.fields), write_fields(&variant.fields)?);
    let write = match &variant.fields {
        Fields::Unit if all_plain => quote! { Self::#ident => #name },
        Fields::Unit => quote! { Self::#ident => crate::protocol::record::plain_variant(out, #name) },
        _ => quote! {
            Self::#ident #pattern => {
                crate::protocol::record::holding_variant(out, #name);
                #written
                out.push(b'}');
            }
        },
    };
    Ok(Arm { name, write, read })
}

/// Gives each field a name of its own. An unnamed one is `value`.
fn pattern(fields: &Fields) -> Tokens {
    match fields {
        Fields::Unit => quote!(),
        Fields::Unnamed(_) => quote! { (value) },
        Fields::Named(fields) => {
            let names = fields.named.iter().map(|field| &field.ident);
            quote! { { #(#names),* } }
        }
    }
}

/// Statements that write what the pattern has named.
fn write_fields(fields: &Fields) -> Result<Tokens> {
    match fields {
        Fields::Unit => Ok(quote!()),
        Fields::Unnamed(_) => Ok(quote! { crate::protocol::record::Record::write(value, out); }),
        Fields::Named(fields) => {
            let writes = fields.named.iter().map(write_field).collect::<Result<Vec<_>>>()?;
            Ok(quote! {
                out.push(b'{');
                #(#writes)*
                out.push(b'}');
            })
        }
    }
}

fn write_field(field: &Field) -> Result<Tokens> {
    let ident = named(field)?;
    let options = Options::of(&field.attrs)?;
    let name = options.rename.unwrap_or_else(|| ident.to_string());
    let written = quote! {
        crate::protocol::record::member(out, #name);
        crate::protocol::record::Record::write(#ident, out);
    };
    Ok(match options.skip_if {
        Some(skip) => quote! { if !#skip(#ident) { #written } },
        None => written,
    })
}

fn named(field: &Field) -> Result<&Ident> {
    field.ident.as_ref().ok_or_else(|| Error::new_spanned(field, "a field without a name"))
}

fn renamed(ident: &Ident, rename_all: Option<&str>) -> Result<String> {
    let name = ident.to_string();
    match rename_all {
        None => Ok(name),
        Some("lowercase") => Ok(name.to_lowercase()),
        Some("UPPERCASE") => Ok(name.to_uppercase()),
        Some("snake_case") => {
            let mut snake = String::new();
            for (at, letter) in name.char_indices() {
                if letter.is_uppercase() && at > 0 {
                    snake.push('_');
                }
                snake.extend(letter.to_lowercase());
            }
            Ok(snake)
        }
        Some(other) => Err(Error::new_spanned(ident, format!("rename_all = {other:?} is not supported"))),
    }
}

/// The expression that makes `what` of `value`.
fn read_fields(fields: &Fields, what: &Tokens) -> Result<Tokens> {
    match fields {
        Fields::Unit => Ok(what.clone()),
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            Ok(quote! { #what(crate::protocol::record::Record::take(value, fault)) })
        }
        Fields::Unnamed(fields) => Err(Error::new_spanned(fields, "more than one unnamed field is not supported")),
        Fields::Named(fields) => {
            let reads = fields.named.iter().map(read_field).collect::<Result<Vec<_>>>()?;
            Ok(quote! {{
                let mut members = crate::protocol::record::Members::new(value, fault);
                #what { #(#reads),* }
            }})
        }
    }
}

fn read_field(field: &Field) -> Result<Tokens> {
    let ident = named(field)?;
    let options = Options::of(&field.attrs)?;
    let name = options.rename.unwrap_or_else(|| ident.to_string());
    Ok(if options.default {
        quote! { #ident: members.take_or_default(#name) }
    } else {
        quote! { #ident: members.take(#name) }
    })
}

/// What serde's attributes say.
#[derive(Default)]
struct Options {
    rename: Option<String>,
    rename_all: Option<String>,
    default: bool,
    skip_if: Option<Path>,
}

impl Options {
    fn of(attributes: &[Attribute]) -> Result<Self> {
        let mut options = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("default") {
                    options.default = true;
                } else if meta.path.is_ident("rename") {
                    options.rename = Some(meta.value()?.parse::<LitStr>()?.value());
                } else if meta.path.is_ident("rename_all") {
                    options.rename_all = Some(meta.value()?.parse::<LitStr>()?.value());
                } else if meta.path.is_ident("skip_serializing_if") {
                    options.skip_if = Some(meta.value()?.parse::<LitStr>()?.parse()?);
                } else {
                    return Err(meta.error("is not supported in a record"));
                }
                Ok(())
            })?;
        }
        Ok(options)
    }
}
