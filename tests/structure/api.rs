//! What the crate offers: every public item, with its signature. `unreachable_pub` sees to it that what is `pub`
//! can be reached from outside.

use std::collections::BTreeSet;

use syn::{
    Attribute, Block, Field, Fields, File, FnArg, ImplItem, Item, ItemImpl, ItemStruct, Pat,
    Signature, TraitItem, Type, Visibility,
};

/// The public items of the files with these names and texts.
pub fn listing(sources: &[(String, String)]) -> String {
    let parsed: Vec<(&String, File)> = sources
        .iter()
        .map(|(name, text)| (name, syn::parse_file(text).expect("Rust")))
        .collect();
    let mut types = BTreeSet::new();
    for (_, file) in &parsed {
        collect_types(&file.items, &mut types);
    }
    let mut listing = String::new();
    for (name, mut file) in parsed {
        file.shebang = None;
        file.attrs.clear();
        keep_public(&mut file.items, &types);
        if !file.items.is_empty() {
            listing += &format!("// {name}\n{}\n", prettyplease::unparse(&file));
        }
    }
    listing
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn collect_types(items: &[Item], types: &mut BTreeSet<String>) {
    for item in items {
        let (visibility, name) = match item {
            Item::Struct(item) => (&item.vis, &item.ident),
            Item::Enum(item) => (&item.vis, &item.ident),
            Item::Type(item) => (&item.vis, &item.ident),
            _ => continue,
        };
        if is_public(visibility) {
            types.insert(name.to_string());
        }
    }
}

fn keep_public(items: &mut Vec<Item>, types: &BTreeSet<String>) {
    items.retain_mut(|item| match item {
        Item::Const(item) => keep(&item.vis, &mut item.attrs),
        Item::Static(item) => keep(&item.vis, &mut item.attrs),
        Item::Type(item) => keep(&item.vis, &mut item.attrs),
        Item::Use(item) => keep(&item.vis, &mut item.attrs),
        Item::Fn(item) => {
            empty(&mut item.block);
            plain(&mut item.sig);
            keep(&item.vis, &mut item.attrs)
        }
        Item::Enum(item) => {
            for variant in &mut item.variants {
                keep_attributes(&mut variant.attrs);
                variant
                    .fields
                    .iter_mut()
                    .for_each(|field| keep_attributes(&mut field.attrs));
            }
            keep(&item.vis, &mut item.attrs)
        }
        Item::Struct(item) => {
            hide_private_fields(item);
            keep(&item.vis, &mut item.attrs)
        }
        Item::Trait(item) => {
            item.items.iter_mut().for_each(keep_trait_item);
            keep(&item.vis, &mut item.attrs)
        }
        Item::Mod(item) => {
            if let Some((_, items)) = &mut item.content {
                keep_public(items, types);
            }
            keep(&item.vis, &mut item.attrs)
        }
        Item::Impl(item) => {
            keep_attributes(&mut item.attrs);
            keep_impl(item, types)
        }
        _ => false,
    });
}

fn keep(visibility: &Visibility, attributes: &mut Vec<Attribute>) -> bool {
    keep_attributes(attributes);
    is_public(visibility)
}

/// Those that callers depend on.
fn keep_attributes(attributes: &mut Vec<Attribute>) {
    attributes.retain(|attribute| {
        let is_one_of = |names: &[&str]| names.iter().any(|name| attribute.path().is_ident(name));
        is_one_of(&["cfg", "derive", "must_use", "non_exhaustive", "deprecated"])
    });
}

fn keep_trait_item(item: &mut TraitItem) {
    match item {
        TraitItem::Fn(item) => {
            keep_attributes(&mut item.attrs);
            item.default.iter_mut().for_each(empty);
        }
        TraitItem::Type(item) => keep_attributes(&mut item.attrs),
        TraitItem::Const(item) => keep_attributes(&mut item.attrs),
        _ => {}
    }
}

/// The public items of a type, or the name of the trait that a public type implements.
fn keep_impl(item: &mut ItemImpl, types: &BTreeSet<String>) -> bool {
    if item.trait_.is_some() {
        item.items.retain(|item| matches!(item, ImplItem::Type(_)));
        return is_one_of(&item.self_ty, types);
    }
    item.items.retain_mut(|item| match item {
        ImplItem::Fn(item) => {
            empty(&mut item.block);
            plain(&mut item.sig);
            keep(&item.vis, &mut item.attrs)
        }
        ImplItem::Const(item) => keep(&item.vis, &mut item.attrs),
        _ => false,
    });
    !item.items.is_empty()
}

fn is_one_of(of: &Type, types: &BTreeSet<String>) -> bool {
    match of {
        Type::Path(path) => {
            let last = path.path.segments.last();
            last.is_some_and(|last| types.contains(&last.ident.to_string()))
        }
        Type::Reference(reference) => is_one_of(&reference.elem, types),
        _ => true,
    }
}

fn hide_private_fields(item: &mut ItemStruct) {
    let hide = |field: &mut Field| {
        keep_attributes(&mut field.attrs);
        if !is_public(&field.vis) {
            field.ty = syn::parse_quote!(_);
        }
    };
    if let Fields::Named(fields) = &mut item.fields {
        fields.named = fields
            .named
            .iter()
            .filter(|field| is_public(&field.vis))
            .cloned()
            .collect();
    }
    item.fields.iter_mut().for_each(hide);
}

fn empty(block: &mut Block) {
    block.stmts.clear();
}

/// Without `mut` of arguments, which callers do not see.
fn plain(signature: &mut Signature) {
    for input in &mut signature.inputs {
        match input {
            FnArg::Receiver(receiver) if receiver.reference.is_none() => receiver.mutability = None,
            FnArg::Receiver(_) => {}
            FnArg::Typed(argument) => {
                if let Pat::Ident(name) = &mut *argument.pat {
                    name.mutability = None;
                }
            }
        }
    }
}
